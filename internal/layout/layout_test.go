package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const project = "github.com/opendaytona/daytona/"

// layer is a row of the table.
type layer struct {
	name      string
	packages  []string
	below     []string // names of layers
	libraries []string // prefixes; nil is any
}

var quoted = regexp.MustCompile("`([^`]+)`")

func words(cell string) (out []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

// layers reads the table of docs/architecture.md.
func layers(t *testing.T) (all []layer) {
	t.Helper()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| layer | packages | may import | libraries |\n| --- | --- | --- | --- |\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			break
		}
		l := layer{name: strings.TrimSpace(cells[1]), packages: words(cells[2]), below: strings.Fields(cells[3])}
		if strings.TrimSpace(cells[4]) != "any" {
			l.libraries = append([]string{}, words(cells[4])...)
		}
		all = append(all, l)
	}
	return all
}

// has reports whether the package is in the layer. "image/*" has those below image;
// "cmd/" is a directory beside internal.
func (l layer) has(pkg string) bool {
	return slices.ContainsFunc(l.packages, func(pattern string) bool {
		if top, ok := strings.CutSuffix(pattern, "/"); ok {
			return pkg == top || strings.HasPrefix(pkg, top+"/")
		}
		if above, ok := strings.CutSuffix(pattern, "/*"); ok {
			return strings.HasPrefix(pkg, "internal/"+above+"/")
		}
		return pkg == path.Join("internal", pattern)
	})
}

func layerOf(all []layer, pkg string) *layer {
	for i := range all {
		if all[i].has(pkg) {
			return &all[i]
		}
	}
	return nil
}

type goPackage struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
}

// packages are those of the modules, without tests.
func packages(t *testing.T) (all []goPackage) {
	t.Helper()
	c := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", "./internal/...", "./images", "./cmd/...", "./cli/...", "./sdk", "./sdk/internal/...", "./api")
	c.Dir = "../.."
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// breach says what is wrong with an import; "" for nothing.
func breach(all []layer, from, imported string) string {
	own := layerOf(all, from)
	if own == nil {
		return from + " is in no layer of docs/architecture.md"
	}
	pkg, ours := strings.CutPrefix(imported, project)
	if !ours {
		switch first, _, _ := strings.Cut(imported, "/"); {
		case !strings.Contains(first, "."): // the standard library
			if slices.Contains([]string{"domain", "leaf"}, own.name) && (imported == "net/http" || imported == "database/sql" || imported == "os/exec") {
				return from + " (" + own.name + ") imports " + imported
			}
		case own.libraries != nil && !slices.ContainsFunc(own.libraries, func(l string) bool { return imported == l || strings.HasPrefix(imported, l+"/") }):
			return from + " (" + own.name + ") imports the library " + imported
		}
		return ""
	}
	to := layerOf(all, pkg)
	if to == nil {
		return pkg + " is in no layer of docs/architecture.md"
	}
	switch {
	case own.name == "domain" && to.name == "domain":
		if from != "internal/sandbox" || pkg != "internal/snapshot" {
			return from + " imports its sibling " + pkg
		}
	case to.name != own.name && !slices.Contains(own.below, to.name):
		return from + " (" + own.name + ") imports " + pkg + " (" + to.name + ")"
	}
	return ""
}

func TestImportsGoDownTheLayers(t *testing.T) {
	all, found := layers(t), packages(t)
	if len(all) < 8 || len(found) < 50 {
		t.Fatalf("%d layers and %d packages were read", len(all), len(found))
	}
	for _, p := range found {
		if strings.HasPrefix(p.ImportPath, project+"internal/layout") || strings.Contains(p.ImportPath, "test") && !strings.HasSuffix(p.ImportPath, "testserver") {
			continue
		}
		for _, imported := range p.Imports {
			if wrong := breach(all, strings.TrimPrefix(p.ImportPath, project), imported); wrong != "" {
				t.Error(wrong)
			}
		}
	}
}

func TestABreachIsFound(t *testing.T) {
	all := layers(t)
	for from, imports := range map[string][]string{
		"internal/snapshot": {"net/http", "github.com/containerd/containerd/v2/core/images", project + "internal/image", project + "internal/sandbox", project + "api", project + "internal/nowhere"},
		"internal/fault":    {"net/http", project + "internal/snapshot"},
		"internal/store":    {project + "internal/httpapi"},
		"internal/image":    {project + "internal/snapshot"},
		"internal/nowhere":  {"fmt"},
		"api":               {project + "internal/fault", "github.com/google/uuid"},
	} {
		for _, imported := range imports {
			if breach(all, from, imported) == "" {
				t.Errorf("%s may import %s", from, imported)
			}
		}
	}
}

// inherited are what a user of the SDK must not get.
var inherited = []string{"github.com/containerd/containerd", "sqlite", "versitygw", "uptrace/bun", "runtime-spec", "jackc/pgx", "github.com/opendaytona/daytona/internal", "netlink"}

func TestTheModuleOfTheSDKHasNothingOfTheServer(t *testing.T) {
	text, err := os.ReadFile("../../sdk/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}", "./sdk")
	c.Dir = "../.."
	linked, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "moby/buildkit") || !strings.Contains(string(linked), project+"api") {
		t.Fatal("the module or its packages were not read")
	}
	for _, part := range inherited {
		for what, in := range map[string]string{"requires": string(text), "links": string(linked)} {
			for line := range strings.Lines(in) {
				if strings.Contains(line, part) {
					t.Errorf("the SDK %s %s", what, strings.TrimSpace(line))
				}
			}
		}
	}
	if text, err := os.ReadFile("../../api/go.mod"); err != nil || strings.Contains(string(text), "require") {
		t.Errorf("the module of the wire types requires something: %s, %v", text, err)
	}
}
