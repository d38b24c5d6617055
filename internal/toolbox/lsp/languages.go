package lsp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// language is one that has a server.
type language struct {
	ids        []string // of the API; also the documents' own
	argv       []string
	install    string   // completes "install it: "
	extensions []string // of the files in which symbols are searched
	options    string   // JSON for the server's start
	settings   string   // JSON that it is told after its start
	opened     bool     // the server knows a project by its open documents only
}

var languages = []language{
	{
		ids: []string{"python"}, argv: []string{"pylsp"}, extensions: []string{".py", ".pyi"},
		install: "pip install python-lsp-server",
		// Checks of style take time and nobody sees what they find.
		settings: `{"pylsp":{"plugins":{"flake8":{"enabled":false},"mccabe":{"enabled":false},"pycodestyle":{"enabled":false},` +
			`"pydocstyle":{"enabled":false},"pyflakes":{"enabled":false},"pylint":{"enabled":false}}}}`,
	},
	{
		ids: []string{"typescript", "javascript"}, argv: []string{"typescript-language-server", "--stdio"}, opened: true,
		extensions: []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"},
		install:    "npm install -g typescript-language-server typescript@5",
		// A second server for syntax would answer while the first one still loads
		// the project, and find nothing.
		options: `{"tsserver":{"useSyntaxServer":"never"}}`,
	},
	{
		ids: []string{"go"}, argv: []string{"gopls"}, extensions: []string{".go"},
		install: "go install golang.org/x/tools/gopls@latest",
	},
	{
		ids: []string{"rust"}, argv: []string{"rust-analyzer"}, extensions: []string{".rs"},
		install: "rustup component add rust-analyzer",
	},
	{
		ids: []string{"c", "cpp"}, argv: []string{"clangd"}, extensions: []string{".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx"},
		install: "apt-get install clangd, apk add clang-extra-tools, or dnf install clang-tools-extra",
	},
	{
		ids: []string{"java"}, argv: []string{"jdtls"}, extensions: []string{".java"},
		install: "unpack Eclipse JDT Language Server and link its bin/jdtls into /usr/local/bin",
	},
}

func findLanguage(id string) (*language, error) {
	var known []string
	for i := range languages {
		if slices.Contains(languages[i].ids, id) {
			return &languages[i], nil
		}
		known = append(known, languages[i].ids...)
	}
	if id == "" {
		return nil, wire.Bad("languageId is missing: give one of %s", strings.Join(known, ", "))
	}
	return nil, wire.Bad("there is no language server for %q: languageId is one of %s", id, strings.Join(known, ", "))
}

// documentLanguage is what the protocol calls the language of a file: those that
// hold JSX have names of their own.
func documentLanguage(id, path string) string {
	switch filepath.Ext(path) {
	case ".tsx":
		return "typescriptreact"
	case ".jsx":
		return "javascriptreact"
	}
	return id
}

func (l *language) has(name string) bool { return slices.Contains(l.extensions, filepath.Ext(name)) }

// usersBin are directories into which the usual installers put programs for their
// user, and that not every image has in its PATH.
func usersBin(home string) []string {
	return []string{home + "/.local/bin", home + "/go/bin", home + "/.cargo/bin", home + "/.npm-global/bin"}
}

// findProgram is the path of the language's server; "" when there is none.
func (s *Service) findProgram(l *language) string {
	if path := s.launcher.Find(l.argv[0]); path != "" {
		return path
	}
	for _, dir := range usersBin(s.launcher.Home()) {
		path := filepath.Join(dir, l.argv[0])
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}
