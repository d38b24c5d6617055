package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
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

func TestNetworksOfHostsAreOneClient(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := clientOf(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 1))); got.String() != want {
			t.Errorf("%s is %s, want %s", address, got, want)
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
