package lsp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type position struct {
	Line      int64 `json:"line"`
	Character int64 `json:"character"` // in units of UTF-16
}

func (p position) valid() bool {
	return p.Line >= 0 && p.Line <= math.MaxInt32 && p.Character >= 0 && p.Character <= math.MaxInt32
}

type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

type location struct {
	URI   string `json:"uri"`
	Range span   `json:"range"`
}

// symbol is as clients have it.
type symbol struct {
	Name     string   `json:"name"`
	Kind     int      `json:"kind"`
	Location location `json:"location"`
}

// node is a symbol of either form that servers have: with its place, or in a tree.
type node struct {
	Name     string    `json:"name"`
	Kind     int       `json:"kind"`
	Location *location `json:"location"`
	Range    span      `json:"range"`
	Children []node    `json:"children"`
}

func (s *Service) documentSymbols(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	p, one, path, err := s.document(r.Context(), key{q.Get("languageId"), q.Get("pathToProject")}, q.Get("uri"))
	if err != nil {
		return err
	}
	symbols, err := s.symbolsOf(r.Context(), one, p, path)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, symbols)
	return nil
}

func (s *Service) workspaceSymbols(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	query := q.Get("query")
	if query == "" {
		return wire.Bad("query is missing: give a part of the names to look for")
	}
	p, one, err := s.ready(r.Context(), key{q.Get("languageId"), q.Get("pathToProject")})
	if err != nil {
		return err
	}
	symbols, err := s.searchSymbols(r.Context(), one, p, query)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, symbols)
	return nil
}

// symbolsOf asks for the symbols of a document.
func (s *Service) symbolsOf(ctx context.Context, one *server, p *project, path string) ([]symbol, error) {
	const method = "textDocument/documentSymbol"
	var answer json.RawMessage
	if err := s.askAbout(ctx, one, p, path, method, map[string]any{}, &answer); err != nil {
		return nil, err
	}
	symbols, err := readSymbols(answer, fileURI(path))
	if err != nil {
		return nil, wire.Bad("%s: its answer to %s is not one: %v", one.program, method, err)
	}
	return symbols, nil
}

// searchSymbols asks the server, or looks into the files where it cannot tell.
func (s *Service) searchSymbols(ctx context.Context, one *server, p *project, query string) ([]symbol, error) {
	const method = "workspace/symbol"
	if !one.searches {
		return s.searchFiles(ctx, one, p, query)
	}
	if p.language.opened && one.documents.empty() {
		release, err := s.openAny(ctx, one, p)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	var answer json.RawMessage
	err := s.ask(ctx, one, method, map[string]any{"query": query}, &answer)
	var no *refusal
	if errors.As(err, &no) && no.code == methodNotFound {
		return s.searchFiles(ctx, one, p, query)
	}
	if err != nil {
		return nil, err
	}
	symbols, err := readSymbols(answer, fileURI(p.root))
	if err != nil {
		return nil, wire.Bad("%s: its answer to %s is not one: %v", one.program, method, err)
	}
	return symbols, nil
}

// openAny opens some file of the project.
func (s *Service) openAny(ctx context.Context, one *server, p *project) (release func(), err error) {
	paths, err := s.files(ctx, p, "", 1)
	if err != nil || len(paths) == 0 {
		return func() {}, err
	}
	return s.open(one, p, paths[0], false)
}

// searchFiles finds symbols by the symbols of the files whose text has the query.
func (s *Service) searchFiles(ctx context.Context, one *server, p *project, query string) ([]symbol, error) {
	const most = 200
	bounded, cancel := context.WithTimeout(ctx, s.limits.request)
	defer cancel()
	paths, err := s.files(bounded, p, query, most)
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	found, lower := []symbol{}, strings.ToLower(query)
	for _, path := range paths {
		all, err := s.symbolsOf(bounded, one, p, path)
		var no *refusal
		switch {
		case ctx.Err() != nil:
			return nil, gone("the client went away")
		case bounded.Err() != nil:
			return nil, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout,
				"the symbols of %d files were not found within %s: give a longer query, or a smaller project", len(paths), s.limits.request)
		case errors.As(err, &no), err != nil && one.alive(): // this file cannot be read, others can
			continue
		case err != nil:
			return nil, err
		}
		for _, symbol := range all {
			if strings.Contains(strings.ToLower(symbol.Name), lower) {
				found = append(found, symbol)
			}
		}
	}
	return found, nil
}

// readSymbols reads a list of symbols in either form, or null. A symbol without a
// place is in uri.
func readSymbols(answer json.RawMessage, uri string) ([]symbol, error) {
	var nodes []node
	if len(bytes.TrimSpace(answer)) > 0 {
		if err := json.Unmarshal(answer, &nodes); err != nil {
			return nil, err
		}
	}
	symbols := []symbol{}
	var add func([]node)
	add = func(nodes []node) {
		for _, n := range nodes {
			at := location{uri, n.Range}
			if n.Location != nil {
				at = location{sameForm(n.Location.URI), n.Location.Range}
			}
			symbols = append(symbols, symbol{n.Name, n.Kind, at})
			add(n.Children)
		}
	}
	add(nodes)
	return symbols, nil
}
