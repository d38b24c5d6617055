//go:build linux

package daytona_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestATerminalIsSharedLeftAndEnded(t *testing.T) {
	sb, _, _ := started(t)
	ctx := t.Context()
	p := sb.Process
	a, err := p.CreatePty(ctx, "a", daytona.PtyOptions{Env: map[string]string{"WHO": "ä b"}, Cols: 100, Cwd: "/tmp"})
	ok(t, err)
	defer a.Close()
	_, err = p.CreatePty(ctx, "a", daytona.PtyOptions{})
	wants(t, "an id in use", err, daytona.ErrConflict)
	_, err = p.CreatePty(ctx, "b", daytona.PtyOptions{Rows: 1001})
	wants(t, "too many rows", err, daytona.ErrInvalid)
	_, err = p.ConnectPty(ctx, "none")
	wants(t, "a terminal that is not there", err, daytona.ErrNotFound)

	one, err := p.GetPtySession(ctx, "a")
	ok(t, err)
	if !one.Active || one.Cols != 100 || one.Rows != 24 || one.Cwd != "/tmp" || one.Envs["WHO"] != "ä b" || one.Envs["TERM"] != "xterm-256color" || one.CreatedAt.IsZero() {
		t.Errorf("%+v", one)
	}
	ok(t, a.Resize(ctx, 90, 30))
	_, err = io.WriteString(a, "echo \"<$WHO>\" $(stty size) $((6 * 7))\n")
	ok(t, err)
	reads(t, a, "<ä b> 30 90 42\r\n")

	b, err := p.ConnectPty(ctx, "a")
	ok(t, err)
	ok(t, a.Close())
	reads(t, b, "30 90 42\r\n") // the output before
	_, err = io.WriteString(b, "exit 3\n")
	ok(t, err)
	_, err = io.ReadAll(b)
	ok(t, err)
	if exit, ended := b.Exit(); !ended || exit != (daytona.PtyExit{Code: 3, Reason: "non-zero exit"}) {
		t.Errorf("%+v, %t", exit, ended)
	}
	_, err = p.ResizePtySession(ctx, "a", 80, 24)
	wants(t, "the size of an ended terminal", err, daytona.ErrGone)

	ok(t, p.CreatePtySession(ctx, "lazy", daytona.PtyOptions{Lazy: true}))
	all, err := p.ListPtySessions(ctx)
	if err != nil || len(all) != 1 || all[0].ID != "lazy" || all[0].Active || !all[0].LazyStart {
		t.Errorf("%+v, %v", all, err)
	}
	lazy, err := p.ConnectPty(ctx, "lazy")
	ok(t, err)
	ok(t, lazy.Kill(ctx))
	_, err = io.ReadAll(lazy)
	if exit, ended := lazy.Exit(); err != nil || !ended || exit != (daytona.PtyExit{Code: 137, Reason: "SIGKILL"}) {
		t.Errorf("%+v, %v", exit, err)
	}
	wants(t, "killing it again", p.KillPtySession(ctx, "lazy"), daytona.ErrNotFound)
}

func TestATerminalsConnectionEndsWithItsContext(t *testing.T) {
	sb, _, _ := started(t)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := sb.Process.CreatePty(ctx, "a", daytona.PtyOptions{})
	ok(t, err)
	cancel()
	if _, err := io.ReadAll(a); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := sb.Process.GetPtySession(t.Context(), "a"); err != nil {
		t.Errorf("it has ended: %v", err)
	}
}

// reads reads until the text has come.
func reads(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v before %q in %q", err, text, all.String())
		}
	}
}
