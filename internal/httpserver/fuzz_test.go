package httpserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// FuzzFirstBytes looks for first bytes of a connection that are lost, or that the
// listener waits for more of.
func FuzzFirstBytes(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3})
	f.Add([]byte{0x16})
	f.Add([]byte{0x15, 3, 1})
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, first []byte) {
		if len(first) == 0 || len(first) > 1<<16 {
			return
		}
		plain, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		both := newBothListener(plain, &tls.Config{}, testConnections(t, 9, 9))
		defer func() {
			if err := both.Close(); err != nil {
				t.Error(err)
			}
		}()
		client, err := net.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		sent := make(chan error, 1)
		go func() {
			_, err := client.Write(first)
			client.(*net.TCPConn).CloseWrite()
			sent <- err
		}()
		conn, err := both.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(firstBytePause))
		if _, secure := conn.(*tls.Conn); secure != (first[0] == recordHandshake) {
			t.Fatalf("%q is TLS: %v", first, secure)
		} else if secure {
			if err := conn.(*tls.Conn).Handshake(); err == nil {
				t.Fatalf("%q is a handshake", first)
			}
			return
		}
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, first) {
			t.Fatalf("%q arrived as %q, %v", first, got, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}
