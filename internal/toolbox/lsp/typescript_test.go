package lsp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTypeScriptLanguageServer(t *testing.T) {
	if _, err := os.Stat("testdata/node_modules"); err != nil {
		t.Skip("npm has not installed the server: make test-toolchain")
	}
	modules := filepath.Join(t.TempDir(), "node_modules") // where the user may read them
	if err := os.CopyFS(modules, os.DirFS("testdata/node_modules")); err != nil {
		t.Fatal(err)
	}
	s := newSandbox(t, modules+"/.bin:"+need(t, "node")+":/usr/bin:/bin", "")
	if err := os.Chmod(filepath.Dir(modules), 0o755); err != nil {
		t.Fatal(err)
	}
	s.put("project/tsconfig.json", `{"compilerOptions": {"jsx": "preserve"}}`)
	s.put("project/@odd name é.ts", "export class Greeter {\n  /** Greets. */\n  greet(name: string): string { return name }\n}\nconst g = new Greeter()\ng.\n")
	s.put("project/view.tsx", "export function View() { return <p>hello</p> }\nexport const shown = View()\n")
	c := client{s, "typescript", s.at("project")}
	c.do("start", nil)

	// A server that knows nothing but open documents knows the project all the same.
	if got := c.workspaceSymbols("Greeter"); names(got) != "Greeter" || got[0].Location.URI != fileURI(c.at("project/@odd name é.ts")) {
		t.Errorf("%+v", got)
	}
	uri := "file://" + c.at("project/@odd name é.ts")
	c.do("did-open", body{"uri": uri})
	if got := names(c.documentSymbols(uri)); !strings.Contains(got, "Greeter") || !strings.Contains(got, "greet") {
		t.Error(got)
	}
	if got := names(c.documentSymbols("project/view.tsx")); !strings.Contains(got, "View") || !strings.Contains(got, "shown") {
		t.Error(got)
	}
	if got := c.completions(uri, 5, 2); !strings.Contains(labels(got), "greet") {
		t.Errorf("%+v", got)
	}
	c.do("did-close", body{"uri": uri})
	one := s.running()
	c.do("stop", nil)
	isGone(t, one.process.Pid)

	// The other language of the same program is a server of its own.
	s.put("project/plain.js", "function plainFunction() {}\n")
	js := client{s, "javascript", s.at("project")}
	js.do("start", nil)
	if got := names(js.documentSymbols("plain.js")); got != "plainFunction" {
		t.Error(got)
	}
	js.do("stop", nil)
}
