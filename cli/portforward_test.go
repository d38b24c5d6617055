//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

func TestPortsAreForwardedUntilTheInterrupt(t *testing.T) {
	serve(t)
	must(t, "snapshot", "create", "default", "--image", "python:3.11-slim")
	must(t, "create", "--name", "web")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _, _ = io.Copy(conn, conn) }()
		}
	}()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	in, out := io.Pipe()
	code := make(chan int)
	var errs bytes.Buffer
	go func() {
		code <- Main(ctx, Program{Args: []string{"port-forward", "web", fmt.Sprintf("0:%d", l.Addr().(*net.TCPAddr).Port), "0:1"}, In: strings.NewReader(""), Out: out, Err: &errs})
	}()
	lines := bufio.NewScanner(in)
	var addresses []string
	for len(addresses) < 2 && lines.Scan() {
		address, _, _ := strings.Cut(lines.Text(), " -> ")
		addresses = append(addresses, address)
	}
	conns := make([]net.Conn, 3)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", addresses[0]); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	for i, conn := range conns {
		line := fmt.Sprintln("line", i)
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != line {
			t.Errorf("%q, %v", got, err)
		}
	}
	closed, err := net.Dial("tcp", addresses[1])
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	if _, err := closed.Read(make([]byte, 1)); err == nil {
		t.Error("a port where nothing listens was read")
	}
	interrupt()
	if c := <-code; c != exitInterrupted {
		t.Errorf("exit code %d", c)
	}
	if !strings.Contains(errs.String(), "nothing listens on port 1") {
		t.Errorf("it said %q", errs.String())
	}
	if _, err := conns[0].Read(make([]byte, 1)); err == nil {
		t.Error("a connection stays")
	}
	for _, wrong := range [][]string{{"web"}, {"web", "0"}, {"web", "x"}, {"web", "1:2:3"}, {"web", "65536"}, {"web", "-1:80"}} {
		if r := run(t, append([]string{"port-forward", "--"}, wrong...)...); r.code != exitUsage {
			t.Errorf("%v: %+v", wrong, r)
		}
	}
}
