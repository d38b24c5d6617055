package httpserver

import (
	"bytes"
	"crypto/tls"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAClientThatDoesNotTrustTheServerIsTold(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	h := &handshakes{log: slog.New(slog.NewTextHandler(lockedWriter{&mu, &out}, nil)), now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(h, "", 0)
	s.StartTLS()
	defer s.Close()
	told := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			text := out.String()
			mu.Unlock()
			if n := strings.Count(text, "daytona server trust"); n == want && strings.Count(text, "127.0.0.1") == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("want it %d times: %s", want, text)
			}
		}
	}
	distrusts := func() {
		t.Helper()
		if c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{ServerName: "example.com"}); err == nil {
			c.Close()
			t.Fatal("a client without its certificate trusts it")
		}
	}
	distrusts()
	told(1)
	distrusts()
	mu.Lock()
	now = now.Add(2 * tellAgain)
	mu.Unlock()
	if _, err := h.Write([]byte("http: TLS handshake error from 127.0.0.1:5: EOF\n")); err != nil {
		t.Fatal(err)
	}
	distrusts()
	told(2)
}

type lockedWriter struct {
	mu  *sync.Mutex
	out *bytes.Buffer
}

// Write implements io.Writer.
func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}
