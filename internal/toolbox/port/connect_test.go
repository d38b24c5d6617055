package port

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// agent serves the package's routes and opens one connection to a port by them.
func agent(t *testing.T, port int, upgrade string) (*http.Response, *bufio.Reader, net.Conn) {
	t.Helper()
	mux := http.NewServeMux()
	Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	// The first bytes for the port come with the request.
	fmt.Fprintf(conn, "GET /port/%d/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nfirst\n", port, upgrade)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, r, conn
}

func TestConnectionsGoToBothLoopbacksAndTheSandboxesAddress(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", ownAddress() + ":0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ended := make(chan error, 1)
		go func() {
			app, err := l.Accept()
			if err != nil {
				return
			}
			defer app.Close()
			if _, err := io.CopyN(app, app, 12); err != nil {
				t.Error(err)
			}
			_, err = app.Read(make([]byte, 1))
			ended <- err
		}()
		res, r, conn := agent(t, l.Addr().(*net.TCPAddr).Port, "tcp")
		if res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(address, res.Status)
		}
		if _, err := io.WriteString(conn, "second"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 12)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "first\nsecond" {
			t.Errorf("%s: %q, %v", address, got, err)
		}
		conn.Close() // and the application is told
		select {
		case err := <-ended:
			if err == nil {
				t.Error("the application still gets bytes")
			}
		case <-time.After(5 * time.Second):
			t.Error("the application's connection stays when its client has gone")
		}
	}
}

func TestWhatTheApplicationSaidLastArrives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 8 << 20
	go func() {
		app, err := l.Accept()
		if err != nil {
			return
		}
		defer app.Close()
		_, _ = app.Read(make([]byte, 6))
		_, _ = app.Write(make([]byte, size))
	}()
	_, r, _ := agent(t, l.Addr().(*net.TCPAddr).Port, "tcp")
	if n, err := io.Copy(io.Discard, r); n != size || err != nil {
		t.Errorf("got %d bytes of %d, %v", n, size, err)
	}
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	if res, _, _ := agent(t, port, "tcp"); res.StatusCode != http.StatusNotFound {
		t.Error(res.Status)
	}
	if res, _, _ := agent(t, port, "h2c"); res.StatusCode != http.StatusUpgradeRequired {
		t.Error(res.Status)
	}
	if res, _, _ := agent(t, 65536, "tcp"); res.StatusCode != http.StatusBadRequest {
		t.Error(res.Status)
	}
}
