package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// server is a running language server.
type server struct {
	*conn
	program   string // for people
	process   *proc.Process
	stderr    capture.Tail
	toll      launch.Toll
	documents documents
	// searches tells that the server looks for symbols itself.
	searches bool
	exited   atomic.Bool   // by itself
	ended    chan struct{} // closed when nothing of it runs any more
}

// launch starts the program of a project's language; nothing was said to it yet.
func (s *Service) launch(p *project) (*server, error) {
	program := s.findProgram(p.language)
	name := p.language.argv[0]
	if program == "" {
		return nil, wire.Errorf(http.StatusInternalServerError, wire.Internal, "this sandbox has no %s: install it (%s), or use a snapshot whose image has it", name, p.language.install)
	}
	u, err := s.launcher.User()
	if err != nil {
		return nil, err
	}
	var held []int // the server's ends
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	stdin, out, err := capture.Feed()
	if err != nil {
		return nil, err
	}
	held = append(held, stdin)
	in, stdout, err := capture.Pipe(u.UID)
	if err != nil {
		out.Close()
		return nil, err
	}
	held = append(held, stdout)
	errs, stderr, err := capture.Pipe(u.UID)
	if err != nil {
		out.Close()
		in.Close()
		return nil, err
	}
	held = append(held, stderr)
	command := launch.Command{
		Argv:  append([]string{program}, p.language.argv[1:]...),
		Env:   map[string]string{"PATH": s.path(u.Home)},
		Files: []uintptr{uintptr(stdin), uintptr(stdout), uintptr(stderr)},
	}
	if _, directory := s.stat(p.root); directory {
		command.Dir = p.root
	}
	one := &server{program: name, toll: s.launcher.Toll(), ended: make(chan struct{})}
	if one.process, err = s.launcher.Start(command); err != nil {
		out.Close()
		in.Close()
		errs.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	one.conn = newConn(out, in)
	words := capture.Start(errs, one.stderr.Append)
	go one.watch(words)
	return one, nil
}

// watch ends what is left of the server when its program or the connection has
// ended: neither is of use without the other.
func (s *server) watch(words *capture.Pump) {
	select {
	case <-s.process.Done():
		words.Settle()
		// What it said last may still be on its way through the connection.
		select {
		case <-s.closed:
		case <-time.After(capture.Grace):
		}
	case <-s.closed:
		// The end of its output is mostly the beginning of its own end.
		if errors.Is(s.reason(), io.EOF) {
			select {
			case <-s.process.Done():
				words.Settle()
			case <-time.After(capture.Grace):
			}
		}
	}
	select {
	case <-s.process.Done():
		s.exited.Store(true)
	default:
	}
	s.close(io.EOF)
	s.process.KillTree(0)
	close(s.ended)
}

// errEnded closes the connection of a server that is ended on purpose.
var errEnded = errors.New("it was ended")

// end asks the server to end as the protocol has it, and ends it anyway. It
// returns when nothing of it runs.
func (s *server) end(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.call(ctx, "shutdown", nil, nil) == nil {
		_ = s.notify("exit", nil)
		select {
		case <-s.ended:
			return
		case <-ctx.Done():
		}
	}
	s.close(errEnded)
	<-s.ended
}

// alive reports whether the server can be asked.
func (s *server) alive() bool {
	select {
	case <-s.closed:
		return false
	default:
		return true
	}
}

// obituary says how the server ended, as far as is known.
func (s *server) obituary() string {
	why := s.reason()
	var said []string
	switch {
	case errors.Is(why, errEnded):
	case !errors.Is(why, io.EOF):
		said = append(said, why.Error())
	case s.exited.Load():
		code := s.process.ExitCode()
		said = append(said, fmt.Sprintf("exit code %d", code), s.toll.Explain(code))
	default:
		said = append(said, "it closed its output")
	}
	const lines, width = 5, 500
	words := strings.Split(strings.TrimSpace(s.stderr.String()), "\n")
	for _, line := range words[max(0, len(words)-lines):] {
		said = append(said, line[:min(len(line), width)])
	}
	var b strings.Builder
	for _, part := range said {
		if part = strings.TrimSpace(strings.ToValidUTF8(part, "\uFFFD")); part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}

// initialize has the first conversation with the server.
func (s *server) initialize(ctx context.Context, p *project) error {
	root := fileURI(p.root)
	var answer struct {
		Capabilities struct {
			Symbols json.RawMessage `json:"workspaceSymbolProvider"`
		} `json:"capabilities"`
	}
	params := map[string]any{
		"processId":        nil, // it ends with its standard input
		"clientInfo":       map[string]string{"name": "daytona"},
		"rootPath":         p.root,
		"rootUri":          root,
		"workspaceFolders": []map[string]string{{"uri": root, "name": filepath.Base(p.root)}},
		// Nothing is announced that the answers of this API have no place for:
		// no snippets, no trees of symbols, no other encoding than UTF-16.
		"capabilities": map[string]any{
			"workspace": map[string]any{"workspaceFolders": true, "symbol": map[string]any{}},
			"textDocument": map[string]any{
				"synchronization": map[string]any{},
				"completion": map[string]any{
					"contextSupport": true,
					"completionItem": map[string]any{"documentationFormat": []string{"markdown", "plaintext"}},
				},
				"documentSymbol": map[string]any{},
			},
		},
	}
	if p.language.options != "" {
		params["initializationOptions"] = json.RawMessage(p.language.options)
	}
	if err := s.call(ctx, "initialize", params, &answer); err != nil {
		return err
	}
	switch string(answer.Capabilities.Symbols) {
	case "", "null", "false":
	default:
		s.searches = true
	}
	if err := s.notify("initialized", map[string]any{}); err != nil {
		return err
	}
	if p.language.settings == "" {
		return nil
	}
	return s.notify("workspace/didChangeConfiguration", map[string]any{"settings": json.RawMessage(p.language.settings)})
}
