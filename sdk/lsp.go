package daytona

import (
	"context"
	"net/http"
	"net/url"
)

// LanguageServer is a language server in a sandbox, by the programs of its image,
// for one language and one project. Start it first. Relative paths start from the
// working directory or, when nothing is there, from the project. Errors of all
// calls but Start: ErrInvalid when it was not started (Error.Code is
// LSP_SERVER_NOT_INITIALIZED) or refuses a request, ErrTimeout when it does not
// answer. A server that ended by itself is started again by the next call.
type LanguageServer struct {
	sandbox  *Sandbox
	language string
	project  string
}

// LanguageServer is the one for a language (python, typescript, javascript, go,
// rust, c, cpp, java) and the directory of a project, which counts as it is
// written: "p" and "/home/me/p" are two.
func (s *Sandbox) LanguageServer(language, project string) *LanguageServer {
	return &LanguageServer{s, language, project}
}

// Position is a place in a text.
type Position struct {
	Line      int `json:"line"`      // the first is 0
	Character int `json:"character"` // from 0, in units of UTF-16
}

// Range is a part of a text, up to End and without it.
type Range struct {
	Start Position `json:"start"`
	End   Position `json:"end"`
}

// Symbol is a function, a class, a variable or the like.
type Symbol struct {
	Name     string `json:"name"`
	Kind     int    `json:"kind"` // the protocol's SymbolKind: 5 is a class, 6 a method, 12 a function
	Location struct {
		URI   string `json:"uri"` // file:// and the absolute path, encoded
		Range Range  `json:"range"`
	} `json:"location"`
}

// Completions are what may stand at a place.
type Completions struct {
	IsIncomplete bool             `json:"isIncomplete"` // there are more
	Items        []CompletionItem `json:"items"`
}

// CompletionItem is one of them. What a server does not say is empty.
type CompletionItem struct {
	Label         string                   `json:"label"`
	Kind          int                      `json:"kind"` // the protocol's CompletionItemKind
	Detail        string                   `json:"detail"`
	Documentation *CompletionDocumentation `json:"documentation"`
	SortText      string                   `json:"sortText"`
	FilterText    string                   `json:"filterText"`
	InsertText    string                   `json:"insertText"` // "" is the label
}

// CompletionDocumentation is a text for people.
type CompletionDocumentation struct {
	Kind  string `json:"kind"` // plaintext or markdown
	Value string `json:"value"`
}

// Start starts the server, and does nothing when it runs. Errors: ErrInvalid for a
// language that has none. A program that the image lacks is an Error with status
// 500 that says how to install it.
func (l *LanguageServer) Start(ctx context.Context) error { return l.post(ctx, "start", nil, nil) }

// Stop ends the server.
func (l *LanguageServer) Stop(ctx context.Context) error { return l.post(ctx, "stop", nil, nil) }

// DidOpen tells the server of a file that is worked on, with the text that it has
// on the disk now. The other calls need no file to be open.
func (l *LanguageServer) DidOpen(ctx context.Context, path string) error {
	return l.post(ctx, "did-open", map[string]any{"uri": path}, nil)
}

// DidClose takes DidOpen back.
func (l *LanguageServer) DidClose(ctx context.Context, path string) error {
	return l.post(ctx, "did-close", map[string]any{"uri": path}, nil)
}

// Completions says what may stand at a place in a file.
func (l *LanguageServer) Completions(ctx context.Context, path string, at Position) (*Completions, error) {
	var out Completions
	if err := l.post(ctx, "completions", map[string]any{"uri": path, "position": at}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// DocumentSymbols lists the symbols of a file.
func (l *LanguageServer) DocumentSymbols(ctx context.Context, path string) ([]Symbol, error) {
	return l.symbols(ctx, "document-symbols", "uri", path)
}

// WorkspaceSymbols finds symbols of the project by a part of their names.
func (l *LanguageServer) WorkspaceSymbols(ctx context.Context, query string) ([]Symbol, error) {
	return l.symbols(ctx, "workspacesymbols", "query", query)
}

func (l *LanguageServer) symbols(ctx context.Context, route, name, value string) (out []Symbol, err error) {
	q := url.Values{"languageId": {l.language}, "pathToProject": {l.project}, name: {value}}
	err = l.sandbox.call(ctx, request{method: http.MethodGet, url: "/lsp/" + route, query: q}, &out)
	return out, err
}

func (l *LanguageServer) post(ctx context.Context, route string, more map[string]any, out any) error {
	body := map[string]any{"languageId": l.language, "pathToProject": l.project}
	for name, value := range more {
		body[name] = value
	}
	return l.sandbox.call(ctx, request{method: http.MethodPost, url: "/lsp/" + route, body: body}, out)
}
