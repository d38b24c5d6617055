package interpreter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// sandbox is a user's home and working directory, and the routes.
type sandbox struct {
	t       testing.TB
	home    string
	url     string
	service *Service
}

func newSandbox(t testing.TB, variables ...string) *sandbox {
	t.Helper()
	// Python of the distribution: one of whoever runs the tests may be out of reach.
	env := map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin"}
	for i := 0; i < len(variables); i += 2 {
		env[variables[i]] = variables[i+1]
	}
	l, home := launchtest.New(t, env)
	service, mux := New(l), http.NewServeMux()
	service.Register(mux)
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		for _, c := range service.contexts {
			service.forget(c)
		}
		web.Close()
	})
	return &sandbox{t: t, home: home, url: web.URL, service: service}
}

func (s *sandbox) call(method, path, body string, status int) []byte {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		s.t.Fatalf("%s %s %s: %d %s, %v", method, path, body, res.StatusCode, b, err)
	}
	return b
}

// fails is call for what must be refused; it returns the message.
func (s *sandbox) fails(method, path, body string, status int, code wire.Code) string {
	s.t.Helper()
	var e wire.Envelope
	b := s.call(method, path, body, status)
	if err := json.Unmarshal(b, &e); err != nil || e.Code != code || e.Source != wire.Source {
		s.t.Errorf("%s %s %s: %s, want %s", method, path, body, b, code)
	}
	return e.Message
}

func (s *sandbox) create(body string) view {
	s.t.Helper()
	var v view
	if err := json.Unmarshal(s.call("POST", "/process/interpreter/context", body, 200), &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// ran is what a client has seen of a run.
type ran struct {
	messages       []message
	stdout, stderr string
	failure        message
	control        []string
	code           websocket.StatusCode
	reason         string
}

// dial opens the WebSocket and sends a request.
func (s *sandbox) dial(req any, header ...string) *websocket.Conn {
	s.t.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		o.HTTPHeader.Set(header[i], header[i+1])
	}
	conn, _, err := websocket.Dial(s.t.Context(), s.url+"/process/interpreter/execute", o)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	text, ok := req.(string)
	if !ok {
		b, err := json.Marshal(req)
		if err != nil {
			s.t.Fatal(err)
		}
		text = string(b)
	}
	if err := conn.Write(s.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// read takes all messages to the close frame.
func (s *sandbox) read(conn *websocket.Conn) ran {
	s.t.Helper()
	defer conn.CloseNow()
	var r ran
	for {
		kind, b, err := conn.Read(s.t.Context())
		if err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) {
				s.t.Fatalf("the connection broke off: %v", err)
			}
			r.code, r.reason = closed.Code, closed.Reason
			return r
		}
		var m message
		decoder := json.NewDecoder(bytes.NewReader(b))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&m); err != nil || kind != websocket.MessageText {
			s.t.Fatalf("message %s, %v", b, err)
		}
		r.messages = append(r.messages, m)
		switch m.Type {
		case "stdout":
			r.stdout += m.Text
		case "stderr":
			r.stderr += m.Text
		case "error":
			if r.failure.Type != "" {
				s.t.Errorf("a second error %s", b)
			}
			r.failure = m
		case "control":
			r.control = append(r.control, m.Text)
		default:
			s.t.Errorf("message %s", b)
		}
	}
}

type body map[string]any

func (s *sandbox) send(req body) ran {
	s.t.Helper()
	return s.read(s.dial(req))
}

// run runs code that must come to an end.
func (s *sandbox) run(code string, more ...any) ran {
	s.t.Helper()
	req := body{"code": code}
	for i := 0; i < len(more); i += 2 {
		req[more[i].(string)] = more[i+1]
	}
	r := s.send(req)
	if r.code != websocket.StatusNormalClosure || len(r.control) != 1 || r.control[0] != "completed" || r.messages[len(r.messages)-1].Type != "control" {
		s.t.Fatalf("%.200s: closed with %d %q, messages %.2000v", code, r.code, r.reason, r.messages)
	}
	return r
}

// prints runs code that must print exactly that, and nothing else.
func (s *sandbox) prints(want, code string, more ...any) {
	s.t.Helper()
	if r := s.run(code, more...); r.stdout != want || r.stderr != "" || r.failure.Type != "" {
		s.t.Errorf("%.200s: %.2000q, %.2000q, %.2000v, want %q", code, r.stdout, r.stderr, r.failure, want)
	}
}
