package lsp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxMessage = 32 << 20         // of a server; a longer one ends it
	maxQueue   = 64 << 20         // of bytes that a server has not read yet
	stalled    = 30 * time.Second // a server that reads nothing for so long is ended
)

// conn speaks JSON-RPC 2.0 with the framing of the Language Server Protocol.
// Nothing that the other side does blocks a caller for longer than its context.
type conn struct {
	out    *os.File // to the server's standard input
	in     *os.File // from its standard output
	closed chan struct{}

	mu      sync.Mutex
	err     error // why it is closed
	queue   [][]byte
	queued  int           // bytes in queue
	more    chan struct{} // says that queue is not empty
	last    int64         // id of the last request
	pending map[int64]chan message
}

// message is a request, a notification or a response.
type message struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *responseError  `json:"error,omitempty"`
}

// responseError is what a server answers in place of a result.
type responseError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

const (
	methodNotFound = -32601
	maxWords       = 4 << 10 // of an error's message that is passed on
)

func (e *responseError) Error() string {
	words := strings.ToValidUTF8(e.Message[:min(len(e.Message), maxWords)], "\uFFFD")
	if words == "" {
		return fmt.Sprintf("error %d", e.Code)
	}
	return words
}

// errClosed is wrapped by what calls return once the connection is closed.
var errClosed = errors.New("the connection to the language server is closed")

func newConn(out, in *os.File) *conn {
	c := &conn{out: out, in: in, closed: make(chan struct{}), more: make(chan struct{}, 1), pending: map[int64]chan message{}}
	go c.write()
	go c.read()
	return c
}

// close ends the connection; the first reason counts.
func (c *conn) close(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	close(c.closed)
	c.queue, c.pending = nil, nil
	c.out.Close()
	c.in.Close()
}

// reason is why the connection is closed.
func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// call sends a request and waits for its result, which may be nil when nobody
// wants it. When ctx ends, the server is told to stop working on it.
func (c *conn) call(ctx context.Context, method string, params, result any) error {
	answer := make(chan message, 1)
	id, err := c.request(method, params, answer)
	if err != nil {
		return err
	}
	select {
	case m := <-answer:
		return m.decode(method, result)
	case <-c.closed:
		select {
		case m := <-answer: // its last words
			return m.decode(method, result)
		default:
			return errClosed
		}
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		_ = c.notify("$/cancelRequest", map[string]int64{"id": id})
		return context.Cause(ctx)
	}
}

func (m message) decode(method string, result any) error {
	switch {
	case m.Error != nil:
		return m.Error
	case result == nil || len(m.Result) == 0:
		return nil
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		return fmt.Errorf("read the answer to %s: %w", method, err)
	}
	return nil
}

func (c *conn) request(method string, params any, answer chan message) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, errClosed
	}
	c.last++
	c.pending[c.last] = answer
	return c.last, c.sendLocked(message{ID: strconv.AppendInt(nil, c.last, 10), Method: method}, params)
}

// notify sends what has no answer.
func (c *conn) notify(method string, params any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(message{Method: method}, params)
}

func (c *conn) sendLocked(m message, params any) error {
	if c.err != nil {
		return errClosed
	}
	m.JSONRPC = "2.0"
	if params != nil {
		b, err := json.Marshal(params)
		if err != nil {
			return fmt.Errorf("encode the parameters of %s: %w", m.Method, err)
		}
		m.Params = b
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Method, err)
	}
	if c.queued+len(body) > maxQueue {
		return fmt.Errorf("the language server does not read what it is sent: %d bytes are waiting", c.queued)
	}
	c.queue = append(c.queue, fmt.Appendf(nil, "Content-Length: %d\r\n\r\n%s", len(body), body))
	c.queued += len(body)
	select {
	case c.more <- struct{}{}:
	default:
	}
	return nil
}

// write sends what is queued. A message that was sent in part cannot be taken
// back, so a server that does not take one to its end is of no more use.
func (c *conn) write() {
	for {
		select {
		case <-c.closed:
			return
		case <-c.more:
		}
		for {
			c.mu.Lock()
			queue := c.queue
			c.queue, c.queued = nil, 0
			c.mu.Unlock()
			if len(queue) == 0 {
				break
			}
			for _, m := range queue {
				err := c.out.SetWriteDeadline(time.Now().Add(stalled))
				if err == nil {
					_, err = c.out.Write(m)
				}
				switch {
				case errors.Is(err, os.ErrDeadlineExceeded):
					err = fmt.Errorf("it did not read what it was sent for %s", stalled)
				case errors.Is(err, syscall.EPIPE):
					err = io.EOF
				}
				if err != nil {
					c.close(err)
					return
				}
			}
		}
	}
}

// read takes what the server says until its end.
func (c *conn) read() {
	in := bufio.NewReaderSize(c.in, 8<<10)
	var body bytes.Buffer
	for {
		const keep = 1 << 20
		if body.Cap() > keep { // for one long message among short ones
			body = bytes.Buffer{}
		}
		body.Reset()
		var m message
		err := readMessage(in, &body)
		if err == nil {
			if err = json.Unmarshal(body.Bytes(), &m); err != nil {
				err = fmt.Errorf("its message is not JSON-RPC: %w", err)
			}
		}
		if err == nil {
			err = c.take(m)
		}
		if err != nil {
			c.close(err)
			return
		}
	}
}

// readMessage reads one message. Its length counts only as far as there is
// something to read.
func readMessage(in *bufio.Reader, body *bytes.Buffer) error {
	length := int64(-1)
	for lines := 0; ; lines++ {
		const most = 32
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 && lines == 0 {
			return io.EOF
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("read its message: %w", err)
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" && length >= 0 {
			break
		}
		name, value, found := strings.Cut(text, ":")
		if err != nil || !found || lines == most {
			return fmt.Errorf("it does not speak the Language Server Protocol: it wrote %q", text[:min(len(text), 200)])
		}
		if strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil || length < 0 {
				return fmt.Errorf("it does not speak the Language Server Protocol: it wrote %q", text[:min(len(text), 200)])
			}
		}
	}
	if length > maxMessage {
		return fmt.Errorf("it sent a message of %d bytes, and %d are the most", length, maxMessage)
	}
	if _, err := io.CopyN(body, in, length); err != nil {
		return fmt.Errorf("read its message: %w", err)
	}
	return nil
}

// take gives a response to who waits for it, and answers requests.
func (c *conn) take(m message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.Method != "" && len(m.ID) > 0:
		response := message{ID: m.ID}
		response.Result, response.Error = answer(m)
		return c.sendLocked(response, nil)
	case m.Method != "": // diagnostics, progress and log messages: no client asks for them
		return nil
	}
	id, err := strconv.ParseInt(string(m.ID), 10, 64)
	if err != nil {
		return nil
	}
	if waiting := c.pending[id]; waiting != nil {
		delete(c.pending, id)
		waiting <- m
	}
	return nil
}

// answer answers a server's own request as an editor does that has no settings
// and shows nothing to anybody.
func answer(m message) (json.RawMessage, *responseError) {
	switch m.Method {
	case "workspace/configuration":
		var asked struct {
			Items []json.RawMessage `json:"items"`
		}
		_ = json.Unmarshal(m.Params, &asked) // none were asked for then
		return json.RawMessage("[" + strings.TrimSuffix(strings.Repeat("null,", len(asked.Items)), ",") + "]"), nil
	case "workspace/applyEdit":
		return json.RawMessage(`{"applied":false,"failureReason":"this client changes no files"}`), nil
	case "client/registerCapability", "client/unregisterCapability", "window/workDoneProgress/create", "window/showMessageRequest", "workspace/workspaceFolders":
		return json.RawMessage("null"), nil
	}
	return nil, &responseError{Code: methodNotFound, Message: "this client does not have " + m.Method[:min(len(m.Method), 200)]}
}
