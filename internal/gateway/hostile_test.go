package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// taken is a sandbox whose root has taken the agent's socket: to every request
// it says the given bytes. It returns the URL of its toolbox, and what its
// program hears after them.
func taken(t *testing.T, says string) (url string, heard chan string) {
	t.Helper()
	m := &machine{socket: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	heard = make(chan string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				_, _ = io.WriteString(conn, says)
				rest, _ := io.ReadAll(r)
				heard <- string(rest)
			}()
		}
	}()
	web := httptest.NewServer(http.StripPrefix("/toolbox", New(Config{Authorizer: m, Dialer: m, Inspector: m, Touch: m.touch, Log: slog.New(slog.DiscardHandler)})))
	t.Cleanup(func() {
		web.Close()
		l.Close()
	})
	return web.URL + "/toolbox", heard
}

// ask sends a request for the toolbox, and returns the bytes of the answer until
// the connection ends or nothing comes any more.
func ask(t *testing.T, url, headers string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/toolbox"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /toolbox/box/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n"+headers+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	var said strings.Builder
	for {
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if said.Len() == 0 {
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		b, err := answers.ReadByte()
		if err != nil {
			return said.String()
		}
		said.WriteByte(b)
	}
}

func TestAnswersOfASandboxHaveNoPower(t *testing.T) {
	const length = "Content-Length: 2\r\n\r\nhi"
	for name, c := range map[string]struct {
		says, asked string
		status      string
		not         []string // of the answer, in small letters
	}{
		"redirect to the API":        {"HTTP/1.1 307 T\r\nLocation: /api/sandbox/bank/public/true\r\n" + length, "", "502", []string{"location:", "/api/sandbox"}},
		"see other":                  {"HTTP/1.1 303 S\r\nLocation: /toolbox/other/version\r\n" + length, "", "502", []string{"location:"}},
		"choices":                    {"HTTP/1.1 300 C\r\nLocation: /x\r\n" + length, "", "502", []string{"location:"}},
		"use proxy":                  {"HTTP/1.1 305 P\r\nLocation: http://evil.example\r\n" + length, "", "502", []string{"location:"}},
		"unknown redirect":           {"HTTP/1.1 399 X\r\nLocation: /x\r\n" + length, "", "502", []string{"location:"}},
		"not modified, unasked":      {"HTTP/1.1 304 N\r\nLocation: /x\r\n\r\n", "", "502", []string{"location:"}},
		"not modified":               {"HTTP/1.1 304 N\r\nLocation: /x\r\n\r\n", "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT\r\n", "304", []string{"location:"}},
		"created elsewhere":          {"HTTP/1.1 201 C\r\nLocation: /api/x\r\nContent-Location: /api/x\r\n" + length, "", "201", []string{"location:"}},
		"status of none":             {"HTTP/1.1 099 X\r\n" + length, "", "502", nil},
		"status beyond all":          {"HTTP/1.1 999 X\r\n" + length, "", "502", nil},
		"endless interim answers":    {strings.Repeat("HTTP/1.1 103 E\r\nLink: </x>; rel=preload\r\nSet-Cookie: a=b\r\n\r\n", 3) + "HTTP/1.1 200 OK\r\n" + length, "", "200", []string{"103", "link:", "set-cookie"}},
		"processing":                 {"HTTP/1.1 102 P\r\nRefresh: 0; url=/x\r\n\r\nHTTP/1.1 200 OK\r\n" + length, "", "200", []string{"102", "refresh:"}},
		"switch that nobody asked":   {"HTTP/1.1 101 S\r\n\r\nHTTP/1.1 200 OK\r\n" + length, "", "502", []string{"101", "200 ok"}},
		"switch, named but unasked":  {"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "", "502", []string{"101"}},
		"switch to another protocol": {"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "502", []string{"101"}},
		"switch with more": {
			"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: a=b\r\nStrict-Transport-Security: max-age=9\r\n\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n",
			"101", []string{"set-cookie", "strict-transport"},
		},
		"trailers":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n2\r\nhi\r\n0\r\nSet-Cookie: a=b\r\nRefresh: 0\r\n\r\n", "TE: trailers\r\n", "200", []string{"set-cookie", "refresh", "trailer"}},
		"endless headers": {"HTTP/1.1 200 OK\r\nContent-Type: " + strings.Repeat("a", maxToolboxHeaders+8<<10) + "\r\n" + length, "", "503", []string{"aaaa"}},
		"powers over browsers": {
			"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nClear-Site-Data: \"*\"\r\nRefresh: 0; url=/api/docs\r\nAlt-Svc: h2=\"evil.example:443\"\r\nStrict-Transport-Security: max-age=99\r\n" +
				"Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nService-Worker-Allowed: /\r\nLink: </x>; rel=preconnect\r\nSourceMap: /x\r\nNEL: {}\r\nReport-To: {}\r\n" +
				"Content-Security-Policy: default-src *\r\nX-Content-Type-Options: sniff\r\nWWW-Authenticate: Basic realm=\"Password?\"\r\nProxy-Authenticate: Basic\r\nPublic-Key-Pins: x\r\n" +
				"Content-Encoding: gzip\r\nCache-Control: public, max-age=999\r\nAge: 1\r\nServer: evil\r\nX-Request-Id: evil\r\nX-Accel-Redirect: /etc/passwd\r\nX-Sendfile: /etc/passwd\r\n" +
				"Content-Type: text/html\r\n" + length, "",
			"200", []string{
				"set-cookie", "clear-site", "refresh", "alt-svc", "strict-transport", "access-control", "service-worker", "link:", "sourcemap", "nel:", "report-to", "default-src *", ": sniff",
				"authenticate", "pins", "encoding", "cache-control", "age:", "server:", "evil", "accel", "sendfile",
			},
		},
		"headers of the proxy, named as of the connection": {"HTTP/1.1 200 OK\r\nConnection: Content-Security-Policy, X-Content-Type-Options\r\n" + length, "", "200", []string{"connection: content"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := taken(t, c.says)
			said := ask(t, url, c.asked)
			if !strings.HasPrefix(said, "HTTP/1.1 "+c.status+" ") {
				t.Fatalf("the client got %.300q; want status %s", said, c.status)
			}
			for _, power := range c.not {
				if strings.Contains(strings.ToLower(said), power) {
					t.Errorf("the client got %q in %q", power, said)
				}
			}
			switch c.status {
			case "200", "201", "304":
				for _, guard := range []string{"X-Content-Type-Options: nosniff\r\n", "; sandbox\r\n"} {
					if !strings.Contains(said, guard) {
						t.Errorf("without %q: %q", guard, said)
					}
				}
			case "502":
				if !strings.Contains(said, `"code":"TOOLBOX_DISTRUSTED"`) {
					t.Errorf("the client is not told why: %q", said)
				}
			}
		})
	}
}

func TestAnswersKeepWhatClientsNeed(t *testing.T) {
	url, _ := taken(t, "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Disposition: attachment; filename=a\r\nContent-Range: bytes 0-1/3\r\n"+
		"Accept-Ranges: bytes\r\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 2\r\n\r\nhi")
	said := ask(t, url, "")
	for _, kept := range []string{
		"HTTP/1.1 206 ", "\r\nContent-Type: multipart/form-data; boundary=x\r\n", "\r\nContent-Disposition: attachment; filename=a\r\n", "\r\nContent-Range: bytes 0-1/3\r\n",
		"\r\nAccept-Ranges: bytes\r\n", "\r\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\n", "\r\nContent-Length: 2\r\n", "\r\n\r\nhi",
	} {
		if !strings.Contains(said, kept) {
			t.Errorf("without %q: %q", kept, said)
		}
	}
}

// A proxy that shares its connections to us among clients takes an unasked 101
// for an interim answer, and what follows on the connection for answers.
func TestASandboxGetsNoRequestOfOthers(t *testing.T) {
	url, heard := taken(t, "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/toolbox"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if _, err := fmt.Fprintf(conn, "GET /toolbox/box/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusBadGateway {
			t.Fatal(answer, err)
		}
		if rest := <-heard; rest != "" {
			t.Fatalf("the sandbox heard %q", rest)
		}
	}
}

// The server sends agents what it configures by requests of its own.
func TestAnAgentSendsTheServerToNobodyElse(t *testing.T) {
	for _, says := range []string{
		"HTTP/1.1 307 T\r\nLocation: http://other/process/execute\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 303 S\r\nLocation: http://other/files/download?path=/secret\r\nContent-Length: 0\r\n\r\n",
	} {
		m := &machine{socket: filepath.Join(t.TempDir(), "s")}
		l, err := net.Listen("unix", m.socket)
		if err != nil {
			t.Fatal(err)
		}
		requests := make(chan string, 9)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					close(requests)
					return
				}
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					requests <- r.Host + r.RequestURI
					_, _ = io.WriteString(conn, says)
				}
				conn.Close()
			}
		}()
		if err := NewAgents(everywhere{m}).Configure(t.Context(), "id", "host", nil); err == nil {
			t.Error("a redirect passed for an answer")
		}
		l.Close()
		var all []string
		for r := range requests {
			all = append(all, r)
		}
		if len(all) != 1 || all[0] != "id/configure" {
			t.Errorf("the server sent %q", all)
		}
	}
}

// everywhere dials the one agent for all ids.
type everywhere struct{ *machine }

func (e everywhere) Dial(ctx context.Context, _ string) (net.Conn, error) {
	return e.machine.Dial(ctx, "id")
}

func TestAnApplicationAnswersOnlyWhatWasAsked(t *testing.T) {
	for says, want := range map[string]string{
		"HTTP/1.1 101 S\r\n\r\n": "HTTP/1.1 502 ",
		"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n": "HTTP/1.1 502 ",
		"HTTP/1.1 099 X\r\n\r\n": "HTTP/1.1 502 ",
		"HTTP/1.1 103 E\r\nSet-Cookie: a=b; Domain=preview.test\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi": "HTTP/1.1 200 ",
	} {
		w := newWeb(t, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			if _, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(conn, says)
				_, _ = io.Copy(io.Discard, r)
			}
		}()
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nX-Daytona-Preview-Token: open\r\nConnection: close\r\n\r\n", w.host(l.Addr().(*net.TCPAddr).Port, box)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		said, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(said), want) || strings.Contains(string(said), "Set-Cookie") {
			t.Errorf("%q became %q, %v; want %s", says, said, err, want)
		}
	}
}
