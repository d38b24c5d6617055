// Package docs holds the documentation. Its tests check that links and paths in it
// lead somewhere.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are the documents of the repository, by path from this directory.
func pages(t *testing.T) []string {
	found := []string{"../README.md", "../SECURITY.md"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	codeBlock = regexp.MustCompile("(?s)\n```.*?\n```")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInID   = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the ids of a page's headings, as renderers of Markdown derive them.
func anchors(text string) (ids []string) {
	for _, h := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		ids = append(ids, strings.ReplaceAll(notInID.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return ids
}

func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, page := range pages(t) {
		for _, l := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(read(t, page), ""), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			links++
			path, anchor, anchored := strings.Cut(l[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, l[1], err)
			} else if anchored && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %s: there is no such heading", page, l[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("found only %d links", links)
	}
}

func TestCodePathsExist(t *testing.T) {
	path := regexp.MustCompile("`((?:api|cli|cmd|images|internal|sdk|test)/[a-z0-9/_.-]*)`")
	for _, page := range []string{"architecture.md", "glossary.md"} {
		found := path.FindAllStringSubmatch(read(t, page), -1)
		for _, p := range found {
			if _, err := os.Stat(filepath.Join("..", p[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		if len(found) < 30 {
			t.Errorf("%s: found only %d paths", page, len(found))
		}
	}
}

func TestEveryPackageIsInTheArchitecture(t *testing.T) {
	text := read(t, "architecture.md")
	dirs, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if d.IsDir() && !strings.Contains(text, "`internal/"+d.Name()+"`") {
			t.Errorf("architecture.md does not name internal/%s", d.Name())
		}
	}
}

func TestGlossaryTermsAreSortedAndDefinedOnce(t *testing.T) {
	var terms []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \|.*\|.*\|$`).FindAllStringSubmatch(read(t, "glossary.md"), -1) {
		if m[1] != "term" && m[1] != "---" {
			terms = append(terms, m[1])
		}
	}
	if len(terms) < 30 {
		t.Errorf("found only %d terms", len(terms))
	}
	if !slices.IsSorted(terms) || len(slices.Compact(slices.Clone(terms))) != len(terms) {
		t.Errorf("the terms are not sorted, or one is there twice: %q", terms)
	}
}
