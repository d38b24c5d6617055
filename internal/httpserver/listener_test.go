package httpserver

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

func TestAClosedListenerDropsConnectionsThatSaidNothing(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	both := newBothListener(plain, &tls.Config{}, testConnections(t, 9, 9))
	silent, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	speaking, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer speaking.Close()
	if _, err := speaking.Write([]byte("GET")); err != nil {
		t.Fatal(err)
	}
	taken, err := both.Accept() // accepted after the silent one
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	began := time.Now()
	if err := both.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > firstBytePause/3 {
		t.Errorf("the end waited %s for a client that says nothing", took)
	}
	_ = silent.SetReadDeadline(time.Now().Add(firstBytePause / 3))
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the silent connection is still open: %v", err)
	}
	if _, err := both.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
}
