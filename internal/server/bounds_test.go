package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/httpserver"
)

func TestConnectionsAreBounded(t *testing.T) {
	for setting, c := range map[string]struct{ bound, other string }{
		"--max-connections":             {"--max-connections", "--max-connections-per-address"},
		"--max-connections-per-address": {"--max-connections-per-address", "--max-connections"},
	} {
		t.Run(setting, func(t *testing.T) {
			s := start(t, testConfig(t, c.bound, "3", c.other, "100"), testHost(newMemoryEngine(t, nil)))
			dial := func() net.Conn {
				conn, err := net.Dial("tcp", s.http.Address().String())
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
			silent := make([]net.Conn, httpserver.MaxRefused+20)
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

func TestRefusedRequestsDoNotHoldTheConnection(t *testing.T) {
	s := start(t, testConfig(t), testHost(newMemoryEngine(t, nil)))
	for _, path := range []string{"/api/sandbox", "/toolbox/x/files/upload", "/v2/x/blobs/uploads/", "/nothing", "/metrics", "/api/docs"} {
		for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
			t.Run(path+" "+framing, func(t *testing.T) {
				t.Parallel()
				conn, err := net.Dial("tcp", s.http.Address().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n\r\n1", path, framing); err != nil {
					t.Fatal(err)
				}
				_ = conn.SetReadDeadline(time.Now().Add(6 * time.Second))
				said, err := io.ReadAll(conn)
				if err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 ") {
					t.Errorf("%q, %v", said, err)
				}
			})
		}
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
