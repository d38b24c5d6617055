//go:build root

package logfile

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

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
