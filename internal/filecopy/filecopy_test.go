package filecopy

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHolesStayHoles(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 40
	for _, at := range []int64{0, 1 << 30, 1 << 39} {
		if _, err := f.WriteAt([]byte("data"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "to")
	if err := Regular(t.Context(), to, from); err != nil {
		t.Fatal(err)
	}
	st := stat(t, to)
	if st.Size != size || st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes, of which %d take room", st.Size, st.Blocks*512)
	}
	f, err = os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{0, 1 << 30, 1 << 39} {
		got := make([]byte, 5)
		if _, err := f.ReadAt(got, at); err != nil || string(got) != "data\x00" {
			t.Errorf("at %d: %q, %v", at, got, err)
		}
	}
}

func TestDataOfAnySize(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string][]byte{
		"empty": nil, "small": []byte("text"), "of several chunks": bytes.Repeat([]byte("0123456789abcde\n"), (2*chunk+chunk/2)/16),
	} {
		from, to := filepath.Join(dir, name), filepath.Join(dir, name+" copied")
		if err := os.WriteFile(from, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Regular(t.Context(), to, from); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if err := Regular(t.Context(), to, from); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s over itself: %v", name, err)
		}
	}
}

func TestACopyEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := Regular(ctx, filepath.Join(dir, "to"), from); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestSpecialFilesAreWhatTheyWere(t *testing.T) {
	dir := t.TempDir()
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink("to nowhere", link), unix.Mkfifo(pipe, 0o640)); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{link, pipe} {
		before, to := stat(t, from), from+" copied"
		if err := errors.Join(Special(to, from, &before), Times(to, &before)); err != nil {
			t.Fatal(err)
		}
		after := stat(t, to)
		if after.Mode&unix.S_IFMT != before.Mode&unix.S_IFMT || after.Mtim != before.Mtim {
			t.Errorf("%s: mode %o and time %v, was %o and %v", from, after.Mode, after.Mtim, before.Mode, before.Mtim)
		}
	}
	if target, err := os.Readlink(link + " copied"); err != nil || target != "to nowhere" {
		t.Errorf("the link goes to %q, %v", target, err)
	}
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}
