//go:build linux

package daytona_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestALanguageServerKnowsAProject(t *testing.T) {
	if _, err := exec.LookPath("pylsp"); err != nil {
		t.Skip("pylsp is not installed")
	}
	sb, _, _ := started(t)
	ctx := t.Context()
	const text = "class Greeter:\n    def greet(self):\n        pass\n\n\nGreeter().\n"
	ok(t, sb.FileSystem.UploadFile(ctx, []byte(text), "project/my file.py"))

	server := sb.LanguageServer("python", "project")
	_, err := server.DocumentSymbols(ctx, "project/my file.py")
	var said *daytona.Error
	if !errors.As(err, &said) || said.Code != "LSP_SERVER_NOT_INITIALIZED" || !errors.Is(err, daytona.ErrInvalid) {
		t.Errorf("before the start: %v", err)
	}
	wants(t, "a language without a server", sb.LanguageServer("cobol", "project").Start(ctx), daytona.ErrInvalid)

	ok(t, server.Start(ctx))
	ok(t, server.DidOpen(ctx, "project/my file.py"))
	named := func(symbols []daytona.Symbol, name string) int {
		return slices.IndexFunc(symbols, func(s daytona.Symbol) bool { return s.Name == name })
	}
	symbols, err := server.DocumentSymbols(ctx, "project/my file.py")
	ok(t, err)
	if i := named(symbols, "Greeter"); i < 0 || symbols[i].Kind != 5 || !strings.HasSuffix(symbols[i].Location.URI, "/project/my%20file.py") || named(symbols, "greet") < 0 {
		t.Errorf("symbols %+v", symbols)
	}
	found, err := server.WorkspaceSymbols(ctx, "greeter")
	ok(t, err)
	if len(found) != 1 || found[0].Name != "Greeter" {
		t.Errorf("found %+v", found)
	}
	completions, err := server.Completions(ctx, "project/my file.py", daytona.Position{Line: 5, Character: 10})
	ok(t, err)
	if !slices.ContainsFunc(completions.Items, func(i daytona.CompletionItem) bool { return i.InsertText == "greet" }) {
		t.Errorf("completions %+v", completions)
	}
	ok(t, server.DidClose(ctx, "project/my file.py"))
	ok(t, server.Stop(ctx))
	wants(t, "a second stop", server.Stop(ctx), daytona.ErrInvalid)
}
