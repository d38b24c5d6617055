//go:build linux

package daytona_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestPreviews(t *testing.T) {
	box, _, _ := started(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "app") }))
	defer app.Close()
	port := app.Listener.Addr().(*net.TCPAddr).Port
	get := func(url, token string) (int, string) {
		t.Helper()
		// Not every resolver knows the names below localhost.
		host := strings.TrimPrefix(url, "http://")
		_, serverPort, _ := strings.Cut(host, ":")
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:"+serverPort, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("X-Daytona-Preview-Token", token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	link, err := box.GetPreviewLink(t.Context(), port)
	if err != nil || link.SandboxID != box.ID {
		t.Fatalf("%+v, %v", link, err)
	}
	if status, text := get(link.URL, link.Token); status != 200 || text != "app" {
		t.Errorf("by the token: %d %s", status, text)
	}
	if status, _ := get(link.URL, ""); status != 401 {
		t.Errorf("by nothing: %d", status)
	}
	if err := box.SetPublic(t.Context(), true); err != nil || !box.Public {
		t.Errorf("public: %t, %v", box.Public, err)
	}
	if status, _ := get(link.URL, ""); status != 200 {
		t.Errorf("public: %d", status)
	}
	signed, err := box.CreateSignedPreviewURL(t.Context(), port, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if status, text := get(signed.URL, ""); status != 200 || text != "app" {
		t.Errorf("signed: %d %s", status, text)
	}
	if err := box.ExpireSignedPreviewURL(t.Context(), port, signed.Token); err != nil {
		t.Error(err)
	}
	if status, _ := get(signed.URL, ""); status != 401 {
		t.Errorf("expired: %d", status)
	}
	if err := box.ExpireSignedPreviewURL(t.Context(), port, signed.Token); !errors.Is(err, daytona.ErrNotFound) {
		t.Errorf("expired twice: %v", err)
	}
	if _, err := box.DialPort(t.Context(), 1); !errors.Is(err, daytona.ErrNotFound) {
		t.Errorf("a port where nothing listens: %v", err)
	}
	if _, err := box.GetPreviewLink(t.Context(), 0); !errors.Is(err, daytona.ErrInvalid) {
		t.Errorf("port 0: %v", err)
	}
}

func TestAnyProtocolPasses(t *testing.T) {
	box, _, _ := started(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left := make(chan struct{})
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer close(left)
		defer conn.Close()
		_, _ = io.WriteString(conn, "welcome\n") // the server speaks first
		_, _ = io.Copy(conn, conn)
	}()
	conn, err := box.DialPort(t.Context(), l.Addr().(*net.TCPAddr).Port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, line := range []string{"welcome\n", "one\n", "two\n"} {
		got := make([]byte, len(line))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != line {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := io.WriteString(conn, map[string]string{"welcome\n": "one\n", "one\n": "two\n"}[line]); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Error("the program's connection stays")
	}
}
