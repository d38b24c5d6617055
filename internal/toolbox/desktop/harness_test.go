package desktop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/desktop/link"
	workermain "github.com/opendaytona/daytona/internal/toolbox/desktop/worker"
	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
)

// TestMain makes the test's program the worker too, as the agent's is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == link.Argument {
		if err := workermain.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// sandbox is a user's home and the routes.
type sandbox struct {
	t       *testing.T
	home    string
	http    http.Handler
	service *Service
	env     map[string]string
}

// userID is neither root's nor this test's, where that may be. It is nobody's, as
// dbus-daemon wants one that the machine knows.
func userID() int {
	if os.Geteuid() == 0 {
		return 65534
	}
	return os.Geteuid()
}

// newSandbox has a desktop of its own on this machine: display is its number.
func newSandbox(t *testing.T, display int, variables ...string) *sandbox {
	t.Helper()
	dir, err := os.MkdirTemp("", "desktop-") // its path goes into the address of a socket, which is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "DISPLAY": fmt.Sprintf(":%d", display),
		"VNC_PORT": fmt.Sprint(15900 + display), "NO_VNC_PORT": fmt.Sprint(16080 + display),
	}
	for i := 0; i < len(variables); i += 2 {
		env[variables[i]] = variables[i+1]
	}
	l, home := launchtest.NewAs(t, dir, userID(), userID(), env)
	s := New(l)
	mux := http.NewServeMux()
	s.Register(mux)
	sb := &sandbox{t: t, home: home, http: mux, service: s, env: env}
	t.Cleanup(func() { sb.send("POST", "/computeruse/stop", nil) })
	return sb
}

type body map[string]any

func (s *sandbox) send(method, path string, b any) *httptest.ResponseRecorder {
	var text []byte
	if b != nil {
		text, _ = json.Marshal(b)
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader(text)))
	return w
}

// do sends a request that must succeed, and decodes the answer.
func (s *sandbox) do(method, path string, b any) (out body) {
	s.t.Helper()
	w := s.send(method, path, b)
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s %s %v: %d %s", method, path, b, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
	}
	return out
}

// refused sends a request that must fail with this status, and returns the message.
func (s *sandbox) refused(method, path string, b any, status int) string {
	s.t.Helper()
	w := s.send(method, path, b)
	var env struct {
		Message string   `json:"message"`
		Source  string   `json:"source"`
		Errors  []string `json:"errors"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &env); err != nil || w.Code != status || env.Source != "DAYTONA_DAEMON" {
		s.t.Fatalf("%s %s %v: %d %s, want %d", method, path, b, w.Code, w.Body, status)
	}
	return fmt.Sprint(append([]string{env.Message}, env.Errors...))
}
