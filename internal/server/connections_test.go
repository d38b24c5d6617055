package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// failing is a listener whose first accepts fail.
type failing struct {
	net.Listener
	with []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.with) == 0 {
		return f.Listener.Accept()
	}
	err := f.with[0]
	f.with = f.with[1:]
	return nil, err
}

func testConnections(t *testing.T, most, mostOfOne int) *connections {
	t.Helper()
	c, err := newConnections(most, mostOfOne, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestTheListenerOutlivesWhatPasses(t *testing.T) {
	l := loopback(t)
	var with []error
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM} {
		with = append(with, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", e)})
	}
	both := newBothListener(&failing{l, with}, &tls.Config{}, testConnections(t, 9, 9))
	defer both.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("GET")); err != nil {
		t.Fatal(err)
	}
	conn, err := both.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestTheListenerEndsWithWhatDoesNotPass(t *testing.T) {
	both := newBothListener(&failing{loopback(t), []error{syscall.EBADF}}, &tls.Config{}, testConnections(t, 9, 9))
	defer both.Close()
	if _, err := both.Accept(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("accept: %v", err)
	}
}

func TestClosingDoesNotWaitForDescriptors(t *testing.T) {
	var with []error
	for range 1000 {
		with = append(with, syscall.EMFILE)
	}
	both := newBothListener(&failing{loopback(t), with}, &tls.Config{}, testConnections(t, 9, 9))
	time.Sleep(700 * time.Millisecond) // the pause is at its longest
	began := time.Now()
	both.Close()
	if took := time.Since(began); took > maxAcceptPause/2 {
		t.Errorf("it took %s", took)
	}
}

// get sends a request on a connection and returns the answer's status and body.
func get(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestConnectionsAreBounded(t *testing.T) {
	for setting, c := range map[string]struct{ bound, other string }{
		"--max-connections":             {"--max-connections", "--max-connections-per-address"},
		"--max-connections-per-address": {"--max-connections-per-address", "--max-connections"},
	} {
		t.Run(setting, func(t *testing.T) {
			s := start(t, config(t, c.bound, "3", c.other, "100"), testMachine(newMemoryEngine(t, nil)))
			dial := func() net.Conn {
				conn, err := net.Dial("tcp", s.listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			var open []net.Conn
			for range 3 {
				open = append(open, dial())
				if status, text := get(t, open[len(open)-1]); status != 200 {
					t.Fatalf("%d %s", status, text)
				}
			}
			more := dial()
			if status, text := get(t, more); status != 503 || !strings.Contains(text, "TOO_MANY_CONNECTIONS") || !strings.Contains(text, strings.TrimPrefix(setting, "--")) {
				t.Errorf("one more: %d %s", status, text)
			}
			if _, err := more.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("it stays open: %v", err)
			}
			if status, _ := get(t, open[0]); status != 200 {
				t.Errorf("one of the first is answered %d", status)
			}
			// Silent ones, of which some may wait for a refusal.
			silent := make([]net.Conn, maxRefused+20)
			for i := range silent {
				silent[i] = dial()
			}
			s.eventually("those beyond the refusals are closed", func() bool {
				closed := 0
				for _, conn := range silent {
					_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
					if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						closed++
					}
				}
				return closed >= 20
			})
			for _, conn := range append(silent, open[0]) {
				conn.Close()
			}
			s.eventually("there is room again", func() bool {
				status, _ := get(t, dial())
				return status == 200
			})
		})
	}
}

func TestNetworksOfHostsAreOneClient(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := clientOf(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 1))); got.String() != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

func TestRefusedRequestsDoNotHoldTheConnection(t *testing.T) {
	s := start(t, config(t), testMachine(newMemoryEngine(t, nil)))
	for _, path := range []string{"/api/sandbox", "/toolbox/x/files/upload", "/v2/x/blobs/uploads/", "/nothing", "/metrics", "/api/docs"} {
		for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
			t.Run(path+" "+framing, func(t *testing.T) {
				t.Parallel()
				conn, err := net.Dial("tcp", s.listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n\r\n1", path, framing); err != nil {
					t.Fatal(err)
				}
				_ = conn.SetReadDeadline(time.Now().Add(3 * unwantedBodyTime))
				said, err := io.ReadAll(conn)
				if err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 ") {
					t.Errorf("%q, %v", said, err)
				}
			})
		}
	}
}

func TestBodiesMustComeInTime(t *testing.T) {
	done := make(chan error, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), ctx: r.Context(), whole: time.Now().Add(300 * time.Millisecond)}
		_, err := io.ReadAll(b)
		done <- err
	}))
	defer web.Close()
	reader, writer := io.Pipe()
	go func() { // a byte now and then is not enough
		for {
			if _, err := writer.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	r, err := http.NewRequestWithContext(t.Context(), "POST", web.URL, reader)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
	}
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
}

// net/http watches the connection after the body's end: that must not end the
// request.
func TestWorkAfterTheBodyMayTakeItsTime(t *testing.T) {
	done := make(chan error, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), ctx: r.Context(), whole: time.Now().Add(200 * time.Millisecond)}
		if _, err := io.ReadAll(b); err != nil {
			done <- err
			return
		}
		select {
		case <-r.Context().Done():
			done <- context.Cause(r.Context())
		case <-time.After(time.Second):
			done <- nil
		}
	}))
	defer web.Close()
	res, err := http.Post(web.URL, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-done; err != nil {
		t.Errorf("the request ended: %v", err)
	}
}
