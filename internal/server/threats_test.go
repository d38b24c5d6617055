package server

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go/ast"
)

// A threat model whose tests are gone would be a promise.
func TestTheThreatModelNamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "node_modules") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				there[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, model, ok := strings.Cut(string(text), "\n## The threat model\n")
	model, _, closed := strings.Cut(model, "\n## ")
	if !ok || !closed {
		t.Fatal("docs/security.md has no section of that name")
	}
	names, lines := regexp.MustCompile("`(Test\\w+)`"), 0
	for line := range strings.Lines(model) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 2 || strings.Contains(line, "---") || strings.Contains(line, "shown by") {
			continue
		}
		lines++
		found := names.FindAllStringSubmatch(cells[1], -1)
		if len(found) == 0 && !regexp.MustCompile(`by design|see below`).MatchString(cells[1]) {
			t.Errorf("no test shows, and nothing says why:%s", cells[0])
		}
		for _, name := range found {
			if !there[name[1]] {
				t.Errorf("%s, which is to show%s, is not there", name[1], cells[0])
			}
		}
	}
	if lines < 40 {
		t.Errorf("the model has %d lines; was its form changed?", lines)
	}
}
