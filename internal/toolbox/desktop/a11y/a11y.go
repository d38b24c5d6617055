// Package a11y answers /computeruse/a11y: it reads the accessibility tree of the
// desktop's programs and acts on its nodes, over AT-SPI, a protocol on D-Bus.
// A program answers for its own nodes, in its main loop, when it has time. So a
// program that hangs must not hold up a walk (program.go), and one call for each
// of a node's properties would take seconds: most of them come with one call to
// the program's cache (cache.go). Nothing here keeps state, but for the
// connection to the bus (bus.go), which is opened by the first request.
package a11y

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers the routes.
type Service struct{ buses buses }

// New makes the service of the desktop whose session bus has that address.
func New(sessionBus string) *Service {
	return &Service{buses: buses{session: sessionBus, patience: usual, turn: make(chan struct{}, 1)}}
}

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("GET /computeruse/a11y/tree", wire.Handler(s.tree))
	mux.Handle("POST /computeruse/a11y/find", wire.Handler(s.find))
	mux.Handle("POST /computeruse/a11y/node/focus", wire.Handler(s.focus))
	mux.Handle("POST /computeruse/a11y/node/invoke", wire.Handler(s.invoke))
	mux.Handle("POST /computeruse/a11y/node/value", wire.Handler(s.setValue))
}

// Close ends the connection to the bus.
func (s *Service) Close() { s.buses.close() }

func (s *Service) tree(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	pid, err := number(query, "pid", 0)
	if err != nil {
		return err
	}
	depth, err := number(query, "maxDepth", -1)
	if err != nil {
		return err
	}
	if depth < -1 {
		return wire.Bad("maxDepth must be 0 for the root alone, a number of levels below it, or -1 for all")
	}
	sc, err := newScope(query.Get("scope"), pid)
	if err != nil {
		return err
	}
	walk, err := s.walk(r.Context())
	if err != nil {
		return err
	}
	defer walk.end()
	root, err := walk.root(sc)
	if err != nil {
		return err
	}
	top, err := walk.run(root, depth)
	if err != nil {
		return err
	}
	all := preorder(top)
	walk.describe(all)
	if err := walk.interrupted(); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, struct {
		Root      *Node `json:"root"`
		Truncated bool  `json:"truncated"`
	}{top.nested(), walk.truncated.Load()})
	return nil
}

func (s *Service) find(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		filter
		Scope string `json:"scope"`
		PID   int    `json:"pid"`
		Limit int    `json:"limit"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	sc, err := newScope(req.Scope, req.PID)
	if err != nil {
		return err
	}
	matches, err := req.matcher()
	if err != nil {
		return err
	}
	limit, err := findLimit(req.Limit)
	if err != nil {
		return err
	}
	walk, err := s.walk(r.Context())
	if err != nil {
		return err
	}
	defer walk.end()
	root, err := walk.root(sc)
	if err != nil {
		return err
	}
	top, err := walk.run(root, -1)
	if err != nil {
		return err
	}
	found := []*entry{}
	for _, e := range preorder(top) {
		if !matches(&e.node) {
			continue
		}
		if len(found) == limit {
			walk.truncated.Store(true)
			break
		}
		found = append(found, e)
	}
	walk.describe(found)
	if err := walk.interrupted(); err != nil {
		return err
	}
	nodes := make([]*Node, len(found))
	for i, e := range found {
		nodes[i] = &e.node
	}
	wire.JSON(w, http.StatusOK, struct {
		Matches   []*Node `json:"matches"`
		Truncated bool    `json:"truncated"`
	}{nodes, walk.truncated.Load()})
	return nil
}

// number is a parameter of the query, or what holds without it.
func number(query url.Values, name string, absent int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, wire.Bad("parameter %s must be an integer, not %q", name, text)
	}
	return n, nil
}
