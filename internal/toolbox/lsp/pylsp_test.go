package lsp

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const greeter = `import os


class Greeter:
    """Says hello."""

    def greet(self, name: str) -> str:
        """Greets by name."""
        return "hello " + name


g = Greeter()
g.
`

// One server serves all: its start takes longer than the rest.
func TestPylsp(t *testing.T) {
	s := newSandbox(t, need(t, "pylsp")+":/usr/bin:/bin", "")
	s.put("my project ä/sample.py", greeter)
	s.put("my project ä/deep/other file.py", "class GreeterOfOthers:\n    pass\n")
	s.put("my project ä/node_modules/x.py", "class GreeterOfNobody:\n    pass\n")
	s.put("my project ä/env/pyvenv.cfg", "")
	s.put("my project ä/env/lib/x.py", "class GreeterInstalled:\n    pass\n")
	c := client{s, "python", "my project ä"}

	c.fails("GET", "/lsp/document-symbols"+c.query("uri", "file://my project ä/sample.py"), nil, 400, wire.LSPServerNotInitialized)
	c.do("start", nil)
	one := s.running()
	c.do("start", nil)
	if s.running() != one {
		t.Error("a second start has started a second server")
	}
	uri := "file://my project ä/sample.py"
	c.do("did-open", body{"uri": uri})

	t.Run("symbols have a name, a kind and a place", func(t *testing.T) {
		for _, s := range c.documentSymbols(uri) {
			if s.Name != "Greeter" {
				continue
			}
			if s.Kind != 5 || s.Location.URI != fileURI(c.at("my project ä/sample.py")) || s.Location.Range.Start.Line != 3 {
				t.Errorf("%+v", s)
			}
			return
		}
		t.Error("Greeter is missing")
	})
	t.Run("every way of writing a path means the same file", func(t *testing.T) {
		for _, uri := range []string{
			"my project ä/sample.py", "file://" + c.at("my project ä/sample.py"), "FILE://sample.py", "sample.py", "file://./my project ä/sample.py",
			fileURI(c.at("my project ä/sample.py")), "file://~/my project ä/sample.py",
		} {
			if got := names(c.documentSymbols(uri)); !strings.Contains(got, "Greeter") || !strings.Contains(got, "greet") {
				t.Errorf("%s: %s", uri, got)
			}
		}
	})
	t.Run("completions say what is inserted", func(t *testing.T) {
		list := c.completions(uri, 12, 2)
		if list.IsIncomplete || !strings.Contains(labels(list), "greet") {
			t.Errorf("%+v", list)
		}
		for _, item := range list.Items {
			if strings.HasPrefix(item.Label, "greet") && (item.Kind == 0 || item.InsertText != "greet") {
				t.Errorf("%+v", item)
			}
		}
	})
	t.Run("symbols of the project are found in files that nobody opened", func(t *testing.T) {
		got := c.workspaceSymbols("greeter")
		if names(got) != "GreeterOfOthers Greeter" && names(got) != "Greeter GreeterOfOthers" {
			t.Errorf("%+v", got)
		}
		if got := c.workspaceSymbols("NobodyHasThis"); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("what was written since is seen without opening again", func(t *testing.T) {
		c.put("my project ä/sample.py", "class Changed:\n    pass\n")
		if got := names(c.documentSymbols(uri)); got != "Changed" {
			t.Error(got)
		}
		c.put("my project ä/sample.py", "class Again:\n    pass\n")
		c.do("did-open", body{"uri": uri})
		if got := names(c.documentSymbols(uri)); got != "Again" {
			t.Error(got)
		}
	})
	t.Run("what is no document is refused", func(t *testing.T) {
		if err := unix.Mkfifo(c.at("my project ä/pipe.py"), 0o644); err != nil {
			t.Fatal(err)
		}
		c.put("my project ä/latin.py", "# caf\xe9\n")
		c.put("my project ä/huge.py", strings.Repeat("#", maxDocument+1))
		c.put("my project ä/secret.py", "x = 1\n")
		if err := os.Chmod(c.at("my project ä/secret.py"), 0); err != nil {
			t.Fatal(err)
		}
		for uri, want := range map[string]string{
			"":                               "uri is missing",
			"file://":                        "uri is missing",
			"http://host/x.py":               "not a file",
			"untitled://x":                   "not a file",
			"my project ä/none.py":           "no such file",
			"my project ä":                   "not a regular file",
			"my project ä/pipe.py":           "not a regular file",
			"my project ä/latin.py":          "not UTF-8",
			"my project ä/huge.py":           "longer than",
			"my project ä/secret.py":         "permission denied",
			"/dev/zero":                      "not a regular file",
			"a\x00b":                         "NUL",
			strings.Repeat("long", 2000):     "name too long",
			"file:///my%20project%ZZ/sample": "no such file",
		} {
			if got := c.fails("POST", "/lsp/did-open", c.body(body{"uri": uri}), 400, wire.BadRequest); !strings.Contains(got, want) {
				t.Errorf("%.50q: %s", uri, got)
			}
		}
	})
	t.Run("positions outside of the text and of the protocol", func(t *testing.T) {
		for _, p := range []any{nil, body{"line": -1, "character": 0}, body{"line": 0, "character": 1 << 40}} {
			c.fails("POST", "/lsp/completions", c.body(body{"uri": uri, "position": p}), 400, wire.BadRequest)
		}
		c.fails("POST", "/lsp/completions", c.body(body{"uri": uri, "position": position{}, "context": body{"triggerKind": 9}}), 400, wire.BadRequest)
		c.fails("POST", "/lsp/completions", c.body(body{"uri": uri, "position": "here"}), 400, wire.InvalidRequestBody)
		// pylsp itself refuses a line that the text does not have; it must go on.
		c.send("POST", "/lsp/completions", c.body(body{"uri": uri, "position": position{1 << 30, 1 << 30}}))
		c.fails("GET", "/lsp/workspacesymbols"+c.query(), nil, 400, wire.BadRequest)
		if got := names(c.documentSymbols(uri)); got != "Again" {
			t.Error(got)
		}
	})
	t.Run("it runs as the user, in the project", func(t *testing.T) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", one.process.Pid))
		if err != nil || !strings.Contains(string(status), fmt.Sprintf("\nUid:\t%d\t", launchtest.UserID())) {
			t.Errorf("%v %s", err, status)
		}
		if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", one.process.Pid)); err != nil || dir != c.at("my project ä") {
			t.Errorf("%v %s", err, dir)
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", one.process.Pid))
		if err != nil || !strings.Contains(string(environ), "HOME="+s.home+"\x00") {
			t.Errorf("%v %q", err, environ)
		}
	})
	t.Run("a killed one is started again by the next request", func(t *testing.T) {
		if err := unix.Kill(one.process.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-one.ended
		if got := names(c.documentSymbols(uri)); got != "Again" {
			t.Error(got)
		}
		if now := s.running(); now == one || now.documents.empty() {
			t.Error("the next server does not have the document that is open")
		}
	})
	c.do("did-close", body{"uri": uri})
	c.do("did-close", body{"uri": "never-opened.py"})
	last := s.running()
	c.do("stop", nil)
	isGone(t, last.process.Pid)
	c.fails("POST", "/lsp/stop", c.body(nil), http.StatusBadRequest, wire.LSPServerNotInitialized)
	c.fails("POST", "/lsp/did-open", c.body(body{"uri": uri}), http.StatusBadRequest, wire.LSPServerNotInitialized)
}
