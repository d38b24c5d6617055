package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/toolbox/port"
)

const (
	box     = "faca1b52-a194-486b-b74f-6a56d19fc42e"
	stopped = "faca1b52-a194-486b-b74f-6a56d19fc42f"
)

// web is a preview proxy to one sandbox, whose agent is the real one's routes
// for ports, on this machine.
type web struct {
	*testing.T
	proxy  *Preview
	addr   string
	socket string
	mu     sync.Mutex
	used   int
}

// Admit lets everybody in who says "open".
func (w *web) Admit(_ context.Context, n preview.Name, c preview.Credentials) (preview.Admitted, error) {
	named := c.Bearer == "key" || slices.Contains(c.Tokens, "open")
	if named || slices.Contains(c.Cookies, "open") {
		return preview.Admitted{SandboxID: n.Sandbox, OurKey: c.Bearer == "key", ByCookie: !named}, nil
	}
	return preview.Admitted{}, fault.Unauthorized("Bring a token.")
}

func (w *web) Dial(ctx context.Context, id string) (net.Conn, error) {
	if id != box {
		return nil, engine.ErrNotRunning
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", w.socket)
}

func newWeb(t *testing.T, agent http.Handler) *web {
	t.Helper()
	w := &web{T: t, socket: filepath.Join(t.TempDir(), "s")}
	if agent == nil {
		mux := http.NewServeMux()
		port.Register(mux)
		agent = mux
	}
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: agent, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	w.proxy = NewPreview(PreviewConfig{
		Admission: w, Domain: "preview.test", Dialer: w, Log: slog.New(slog.DiscardHandler),
		Touch:  func(string) { w.mu.Lock(); w.used++; w.mu.Unlock() },
		Origin: func(r *http.Request) string { return "http://" + r.Host },
	})
	front := httptest.NewServer(w.proxy)
	w.addr = front.Listener.Addr().String()
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		server.Close()
	})
	return w
}

// app is an application that listens at address; its port is returned.
func app(t *testing.T, address string, h http.HandlerFunc) int {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func (w *web) host(port int, sandbox string) string {
	return fmt.Sprintf("%d-%s.preview.test", port, sandbox)
}

func (w *web) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", w.addr)
			},
			DisableKeepAlives: true, ExpectContinueTimeout: 5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *web) get(url string, header ...string) (*http.Response, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), "GET", url, nil)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return w.do(r)
}

func (w *web) do(r *http.Request) (*http.Response, string) {
	w.Helper()
	res, err := w.client().Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return res, string(text)
}

func TestTheApplicationSeesTheRequestWithoutWhatIsOurs(t *testing.T) {
	w := newWeb(t, nil)
	seen := make(chan *http.Request, 1)
	n := app(t, "127.0.0.1:0", func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	url := "http://" + w.host(n, box) + "//a%2Fb;c?x=1;2&DAYTONA_SANDBOX_AUTH_KEY=open&y=%zz"
	res, _ := w.get(url, "X-Daytona-Preview-Token", "open", "X-Daytona-Organization-Id", "o", "Authorization", "Basic app",
		"Cookie", "a=1; daytona-sandbox-auth-"+box+"=open; b=2", "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Host", "evil", "Connection", "X-Hop", "X-Hop", "1")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	r := <-seen
	for got, want := range map[string]string{
		r.Host: w.host(n, box), r.RequestURI: "//a%2Fb;c?x=1;2&y=%zz", r.Header.Get("Authorization"): "Basic app", r.Header.Get("Cookie"): "a=1; b=2",
		r.Header.Get("X-Forwarded-For"): "192.0.2.1, 127.0.0.1", r.Header.Get("X-Forwarded-Host"): w.host(n, box), r.Header.Get("X-Forwarded-Proto"): "http",
	} {
		if got != want {
			t.Errorf("the application saw %q, not %q", got, want)
		}
	}
	for _, ours := range []string{"X-Daytona-Preview-Token", "X-Daytona-Organization-Id", "X-Hop"} {
		if r.Header.Get(ours) != "" {
			t.Errorf("the application saw %s: %s", ours, r.Header.Get(ours))
		}
	}
	if w.get("http://"+w.host(n, box)+"/", "Authorization", "Bearer key"); (<-seen).Header.Get("Authorization") != "" {
		t.Error("the application saw an API key")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used == 0 {
		t.Error("the request did not count as activity")
	}
}

// The official command opens this port for a terminal in the browser.
func TestThePortOfATerminalInTheBrowserSaysWhatToUse(t *testing.T) {
	w := newWeb(t, nil)
	res, text := w.get("http://"+w.host(preview.TerminalPort, box)+"/", tokenHeader, "open", "Accept", "text/html")
	if res.StatusCode != 502 || !strings.Contains(text, "run daytona terminal "+box) {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

func TestRefusalsArePagesForPeopleAndEnvelopesForPrograms(t *testing.T) {
	w := newWeb(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().(*net.TCPAddr).Port
	l.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	go func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0\r\n")
			c.Close()
		}
	}()
	for _, c := range []struct {
		host, token string
		status      int
		code        string
	}{
		{w.host(80, box), "wrong", 401, "UNAUTHORIZED"},
		{"80-box.preview.test", "open", 404, "PREVIEW_NOT_FOUND"},
		{"x.80-" + box + ".preview.test", "open", 404, "PREVIEW_NOT_FOUND"},
		{w.host(0, box), "open", 404, "PREVIEW_NOT_FOUND"},
		{w.host(80, stopped), "open", 409, "SANDBOX_NOT_STARTED"},
		{w.host(closed, box), "open", 502, "PORT_CLOSED"},
		{w.host(mute.Addr().(*net.TCPAddr).Port, box), "open", 502, "BAD_GATEWAY"},
	} {
		res, text := w.get("http://"+c.host+"/", tokenHeader, c.token)
		var e struct{ Code, Source, Message string }
		if err := json.Unmarshal([]byte(text), &e); err != nil || res.StatusCode != c.status || e.Code != c.code || e.Source != "DAYTONA_PROXY" || e.Message == "" {
			t.Errorf("%s: %d %+v, %v", c.host, res.StatusCode, e, err)
		}
		res, text = w.get("http://"+c.host+"/", tokenHeader, c.token, "Accept", "text/html,*/*")
		if !strings.Contains(text, "<h1>"+http.StatusText(c.status)) || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %s %s", c.host, res.Header, text)
		}
	}
}

func TestAnAgentThatCannotConnectIsNoClosedPort(t *testing.T) {
	for name, agent := range map[string]http.HandlerFunc{
		"without the route": http.NotFound,
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			w.WriteHeader(http.StatusSwitchingProtocols)
		},
	} {
		w := newWeb(t, agent)
		if res, text := w.get("http://"+w.host(80, box)+"/", tokenHeader, "open"); res.StatusCode != 503 || !strings.Contains(text, "TOOLBOX_UNREACHABLE") {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
}

func TestATokenInTheAddressBecomesACookie(t *testing.T) {
	w := newWeb(t, nil)
	n := app(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) })
	base := "http://" + w.host(n, box)
	// A path that begins as a host does must not lead to that host.
	res, _ := w.get(base+"//evil.example/?DAYTONA_SANDBOX_AUTH_KEY=open&x=1", "Accept", "text/html")
	if at := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || at != base+"//evil.example/?x=1" {
		t.Errorf("%d to %s", res.StatusCode, at)
	}
	c := res.Cookies()
	if len(c) != 1 || c[0].Name != "daytona-sandbox-auth-"+box || !c[0].HttpOnly || c[0].Domain != "" || c[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("cookies %v", c)
	}
	if res, text := w.get(base+"/page", "Cookie", c[0].Name+"="+c[0].Value); res.StatusCode != 200 || text != "/page" {
		t.Error(res.Status, text)
	}
	// Programs need no second request.
	if res, text := w.get(base + "/page?DAYTONA_SANDBOX_AUTH_KEY=open"); res.StatusCode != 200 || text != "/page" {
		t.Error(res.Status, text)
	}
	if res, _ := w.get(base+"/?DAYTONA_SANDBOX_AUTH_KEY=wrong", "Accept", "text/html"); res.StatusCode != 401 || len(res.Cookies()) > 0 {
		t.Error(res.Status, res.Cookies())
	}
}

func TestCookiesOfTheApplicationStayAtItsHost(t *testing.T) {
	w := newWeb(t, nil)
	n := app(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		for _, c := range []string{"a=1; Path=/; Domain=preview.test; Secure", "b=2;domain=.preview.test", "c=3", "daytona-sandbox-auth-" + box + "=stolen"} {
			w.Header().Add("Set-Cookie", c)
		}
	})
	res, _ := w.get("http://"+w.host(n, box)+"/", tokenHeader, "open")
	if got := strings.Join(res.Header["Set-Cookie"], " | "); got != "a=1; Path=/; Secure | b=2 | c=3" {
		t.Error(got)
	}
}

func TestBothLoopbacksAreReached(t *testing.T) {
	w := newWeb(t, nil)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		n := app(t, address, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, address) })
		if res, text := w.get("http://"+w.host(n, box)+"/", tokenHeader, "open"); text != address {
			t.Errorf("%s: %s %s", address, res.Status, text)
		}
	}
}

func TestAnswersAreStreamsAndEndWithTheClient(t *testing.T) {
	w := newWeb(t, nil)
	gone := make(chan struct{})
	more := make(chan struct{})
	n := app(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 2 {
			fmt.Fprint(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			select {
			case <-more:
			case <-r.Context().Done():
			}
		}
		<-r.Context().Done()
		close(gone)
	})
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.host(n, box)+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(tokenHeader, "open")
	res, err := w.client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for range 2 {
		if text, err := lines.ReadString('\n'); text != "data: x\n" {
			t.Fatal(text, err)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		more <- struct{}{}
	}
	res.Body.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the application goes on working")
	}
}

func TestWebSocketsReachTheApplication(t *testing.T) {
	w := newWeb(t, nil)
	left := make(chan struct{})
	n := app(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		c, err := websocket.Accept(w, r, nil) // checks that Origin is Host
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		for {
			kind, text, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, append([]byte("echo "), text...)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	host := w.host(n, box)
	c, _, err := websocket.Dial(t.Context(), "ws://"+host+"/?DAYTONA_SANDBOX_AUTH_KEY=open", &websocket.DialOptions{HTTPClient: w.client(), HTTPHeader: http.Header{"Origin": {"http://" + host}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Write(t.Context(), websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, text, err := c.Read(t.Context()); err != nil || string(text) != "echo hi" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	_ = c.CloseNow()
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Error("the application is not told that its client has gone")
	}
}

func TestLargeBodiesBothWays(t *testing.T) {
	w := newWeb(t, nil)
	n := app(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Trailer", "X-Sum")
		n, err := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n, err))
	})
	const size = 64 << 20
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.host(n, box)+"/", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(tokenHeader, "open")
	res, err := w.client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.Copy(io.Discard, res.Body); got != size || err != nil || res.Trailer.Get("X-Sum") != fmt.Sprint(size, " <nil>") {
		t.Errorf("%d bytes, %v, trailer %v", got, err, res.Trailer)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAnApplicationRefusesABodyBeforeItIsSent(t *testing.T) {
	w := newWeb(t, nil)
	n := app(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Take") == "" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	for _, take := range []bool{true, false} {
		body := &counted{Reader: bytes.NewReader(make([]byte, 1<<20))}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.host(n, box)+"/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(tokenHeader, "open")
		r.Header.Set("Expect", "100-continue")
		if take {
			r.Header.Set("X-Take", "1")
		}
		res, text := w.do(r)
		if take && (res.StatusCode != 200 || len(text) != 1<<20) || !take && (res.StatusCode != 413 || body.n != 0) {
			t.Errorf("take %t: %s, %d bytes back, %d sent", take, res.Status, len(text), body.n)
		}
	}
}

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestASandboxMayNotTakeTheWholeServer(t *testing.T) {
	w := newWeb(t, nil)
	release := make(chan struct{})
	n := app(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) { <-release })
	var all sync.WaitGroup
	for range maxPreviewRequests {
		all.Go(func() { w.get("http://"+w.host(n, box)+"/", tokenHeader, "open") })
	}
	// An answer is out before the request is counted as over.
	counts := func(n int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			w.proxy.mu.Lock()
			active := w.proxy.active[box]
			w.proxy.mu.Unlock()
			if active == n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d requests go on, want %d", active, n)
			}
		}
	}
	counts(maxPreviewRequests)
	res, text := w.get("http://"+w.host(n, box)+"/", tokenHeader, "open")
	if res.StatusCode != 503 || !strings.Contains(text, "PREVIEW_BUSY") || res.Header.Get("Retry-After") == "" {
		t.Error(res.Status, text)
	}
	close(release)
	all.Wait()
	counts(0)
	if res, _ := w.get("http://"+w.host(n, box)+"/", tokenHeader, "open"); res.StatusCode != 200 {
		t.Error(res.Status)
	}
	counts(0)
}
