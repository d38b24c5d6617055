package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
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

// small is a file system of 64 KiB, and fill and free the one file on it that
// takes all of them.
func small(t *testing.T) (dir string, fill, free func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a small file system and must run as root")
	}
	dir = t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=65536,nr_inodes=16"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	fill = func() {
		if err := os.WriteFile(dir+"/filler", make([]byte, 65536), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	free = func() {
		if err := os.Remove(dir + "/filler"); err != nil {
			t.Fatal(err)
		}
	}
	return dir, fill, free
}

func TestAFullDiskLosesOutputButNeverTheCommand(t *testing.T) {
	dir, fill, free := small(t)
	l, err := Create(dir+"/log", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Remove()
	onDisk := strings.Repeat("x", 4096-header) // to the end of its page
	l.Append(Stdout, []byte(onDisk))
	fill()
	l.Append(Stdout, []byte("rm: "))
	l.Append(Stderr, []byte("no such file"))
	if got := text(t, l, Both); got != onDisk+"rm: no such file" || len(l.tail) == 0 {
		t.Errorf("%d bytes in memory: %.500q", len(l.tail), got[len(got)-30:])
	}
	l.Append(Stdout, make([]byte, kept))
	l.Append(Stdout, make([]byte, kept))
	free()
	l.Append(Stdout, []byte("again"))
	want := fmt.Sprintf("%srm: no such file\n[%d bytes of output were lost: no space left on device]\nagain", onDisk, 2*kept)
	if got := text(t, l, Both); got != want {
		t.Errorf("%.200q", got[max(0, len(got)-200):])
	}
	if l.tail != nil {
		t.Errorf("%d bytes stay in memory", len(l.tail))
	}
	if got := text(t, l, Stdout); got != onDisk+"rm: again" {
		t.Errorf("%.200q", got[max(0, len(got)-200):])
	}
}

func TestALogThatIsMadeOnAFullDiskIsReadAndFollowed(t *testing.T) {
	dir, fill, _ := small(t)
	fill()
	for i := 0; ; i++ { // until there is no inode left for a log's own
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	l, err := Create(dir+"/log", 0)
	if err != nil {
		t.Fatal(err)
	}
	l.Append(Stdout, []byte("said"))
	l.Append(Stdout, make([]byte, kept))
	l.End()
	want := fmt.Sprintf("said\n[%d bytes of output were lost: no space left on device]\n", kept)
	if got := text(t, l, Both); got != want {
		t.Errorf("%.500q", got)
	}
	got := ""
	if err := l.Follow(t.Context(), func(_ Stream, p []byte) error { got += string(p); return nil }); err != nil || got != want {
		t.Errorf("%.500q, error %v", got, err)
	}
	l.Remove()
	if got := text(t, l, Both); got != "" {
		t.Errorf("%.500q", got)
	}
}
