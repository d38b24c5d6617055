package lsp

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// maxOpen is how many documents a client may leave open in one server.
const maxOpen = 4096

// documents are those that are open in one server.
type documents struct {
	mu  sync.Mutex
	all map[string]*document // by path
}

// document is open as long as a client has it open, or a request is about it.
type document struct {
	version int
	sum     [sha256.Size]byte // of the text that the server has
	users   int               // requests
	kept    bool
}

// kept are the documents that clients have open, by path.
type kept struct {
	mu    sync.Mutex
	paths map[string]bool
}

func (k *kept) add(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.paths[path] && len(k.paths) >= maxOpen {
		return wire.Bad("%d documents are open in this language server: close some (did-close), or stop it", maxOpen)
	}
	if k.paths == nil {
		k.paths = map[string]bool{}
	}
	k.paths[path] = true
	return nil
}

func (k *kept) remove(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.paths, path)
}

func (k *kept) has(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.paths[path]
}

func (k *kept) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.paths))
}

type documentRequest struct {
	key
	URI string `json:"uri"`
}

// document is the path of what a client names by a URI, with the server for it.
func (s *Service) document(ctx context.Context, k key, uri string) (p *project, one *server, path string, err error) {
	if p, one, err = s.ready(ctx, k); err != nil {
		return nil, nil, "", err
	}
	path, err = s.locate(p, uri)
	return p, one, path, err
}

func (s *Service) didOpen(w http.ResponseWriter, r *http.Request) error {
	var req documentRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	p, one, path, err := s.document(r.Context(), req.key, req.URI)
	if err != nil {
		return err
	}
	if _, err := s.open(one, p, path, true); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// didClose closes a document. It may be gone from the disk, so what is open counts.
func (s *Service) didClose(w http.ResponseWriter, r *http.Request) error {
	var req documentRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	p, one, err := s.ready(r.Context(), req.key)
	if err != nil {
		return err
	}
	places, err := s.places(p, req.URI)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(places, p.opened.has); i >= 0 {
		p.opened.remove(places[i])
		one.documents.close(one, places[i], true)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// open gives a server what is on the disk, and returns what takes it back. With
// keep it stays open until a client closes it, also in the servers after this one.
func (s *Service) open(one *server, p *project, path string, keep bool) (release func(), err error) {
	text, err := readDocument(s.launcher, path)
	if err != nil {
		return nil, err
	}
	if keep {
		if err := p.opened.add(path); err != nil {
			return nil, err
		}
	}
	if err := one.documents.open(one, path, documentLanguage(p.LanguageID, path), text, keep); err != nil {
		if one.alive() {
			return nil, wire.Bad("%s: %v", one.program, err)
		}
		return nil, one.endedError()
	}
	return func() { one.documents.close(one, path, false) }, nil
}

func (d *documents) open(one *server, path, language, text string, keep bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := sha256.Sum256([]byte(text))
	doc := d.all[path]
	switch {
	case doc == nil:
		doc = &document{version: 1, sum: sum}
		if d.all == nil {
			d.all = map[string]*document{}
		}
		d.all[path] = doc
		if err := one.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
			"uri": fileURI(path), "languageId": language, "version": doc.version, "text": text,
		}}); err != nil {
			delete(d.all, path)
			return err
		}
	case doc.sum != sum:
		doc.version++
		if err := one.notify("textDocument/didChange", map[string]any{
			"textDocument":   map[string]any{"uri": fileURI(path), "version": doc.version},
			"contentChanges": []map[string]string{{"text": text}},
		}); err != nil {
			return err
		}
		doc.sum = sum
	}
	if keep {
		doc.kept = true
	} else {
		doc.users++
	}
	return nil
}

// close gives back one use of a document, a client's or a request's.
func (d *documents) close(one *server, path string, clients bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc := d.all[path]
	if doc == nil {
		return
	}
	if clients {
		doc.kept = false
	} else {
		doc.users--
	}
	if doc.kept || doc.users > 0 {
		return
	}
	delete(d.all, path)
	_ = one.notify("textDocument/didClose", map[string]any{"textDocument": map[string]any{"uri": fileURI(path)}})
}

func (d *documents) empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.all) == 0
}

// askAbout sends a request about a document, which is open at least as long and
// has the text that is on the disk.
func (s *Service) askAbout(ctx context.Context, one *server, p *project, path, method string, params map[string]any, result any) error {
	release, err := s.open(one, p, path, false)
	if err != nil {
		return err
	}
	defer release()
	params["textDocument"] = map[string]string{"uri": fileURI(path)}
	return s.ask(ctx, one, method, params, result)
}
