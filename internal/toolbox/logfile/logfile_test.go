package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func create(t *testing.T, max int64) *Log {
	t.Helper()
	l, err := Create(t.TempDir()+"/log", max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Remove)
	return l
}

func text(t *testing.T, l *Log, s Stream) string {
	t.Helper()
	b, err := io.ReadAll(l.Reader(s))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStreamsAreKeptApartAndInOrder(t *testing.T) {
	l := create(t, 0)
	l.Append(Stdout, []byte("a\x01\x01\x01"))
	l.Append(Stderr, []byte("b\x00"))
	l.Append(Stdout, nil)
	l.Append(Stdout, []byte("c"))
	if both, out, errs := text(t, l, Both), text(t, l, Stdout), text(t, l, Stderr); both != "a\x01\x01\x01b\x00c" || out != "a\x01\x01\x01c" || errs != "b\x00" {
		t.Errorf("%q %q %q", both, out, errs)
	}
}

func TestFollowersSeeEverythingAndEndWithTheCommand(t *testing.T) {
	l := create(t, 0)
	l.Append(Stdout, []byte("before "))
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			var got strings.Builder
			err := l.Follow(t.Context(), func(_ Stream, p []byte) error { got.Write(p); return nil })
			if want := "before " + strings.Repeat("x", 500); err != nil || got.String() != want {
				t.Errorf("%q, error %v", got.String(), err)
			}
		})
	}
	for range 500 {
		l.Append(Stderr, []byte("x"))
	}
	l.End()
	wg.Wait()
}

func TestFollowOfAnEndedCommandReturns(t *testing.T) {
	l := create(t, 0)
	l.Append(Stdout, []byte("all"))
	l.End()
	l.Append(Stdout, []byte(" and more from its background"))
	got := ""
	if err := l.Follow(t.Context(), func(_ Stream, p []byte) error { got += string(p); return nil }); err != nil || !strings.HasPrefix(got, "all") {
		t.Errorf("%q %v", got, err)
	}
}

func TestFollowEndsWithItsContextAndWithTheLog(t *testing.T) {
	l := create(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := l.Follow(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	time.AfterFunc(10*time.Millisecond, l.Remove)
	if err := l.Follow(t.Context(), nil); err != nil {
		t.Errorf("error %v", err)
	}
	l.Append(Stdout, []byte("nobody reads this"))
	if got := text(t, l, Both); got != "" {
		t.Errorf("%.500q", got)
	}
}

func TestABoundedLogKeepsItsEndAndFreesItsBeginning(t *testing.T) {
	const max = 4 << 20
	l := create(t, max)
	line := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	old := l.Reader(Both) // one that stands at the beginning
	for range 32 << 20 / len(line) {
		l.Append(Stdout, line)
	}
	l.Append(Stdout, []byte("last"))
	got := text(t, l, Both)
	if len(got) < max-2*step || len(got) > max+2*step || !strings.HasSuffix(got, "last") || !strings.HasPrefix(got, "0123") {
		t.Errorf("%d bytes are kept: %.20q … %q", len(got), got, got[len(got)-10:])
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(l.file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; used > max+3*step {
		t.Errorf("%d bytes are used on disk", used)
	}
	if b, err := io.ReadAll(old); err != nil || bytes.ContainsRune(b, 0) {
		t.Errorf("an old reader sees a hole, or %v", err)
	}
}
