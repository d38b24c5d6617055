package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Data that fills a small pool quickly leaves room for names.
func TestAPoolFullOfDataHasRoomForMetadata(t *testing.T) {
	pool, err := Open(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "pool"), Size: 1 << 30, Sparse: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(false); err != nil {
			t.Error(err)
		}
	})
	if err := pool.Create("full", 2<<30); err != nil {
		t.Fatal(err)
	}
	dir := pool.Path("full")
	piece := make([]byte, 32<<20)
	written := 0
	for i := 0; ; i++ {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint("data", i)), piece, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		written += len(piece) >> 20
	}
	unix.Sync()
	if written < 832 {
		t.Errorf("of 1 GiB, data gets %d MiB", written)
	}
	for i := range 20_000 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("a file that has a name and no data, ", i)))
		if err != nil {
			t.Fatalf("name %d beside %d MiB of data: %v", i, written, err)
		}
		f.Close()
	}
	if err := os.Rename(filepath.Join(dir, "data0"), filepath.Join(dir, "renamed")); err != nil {
		t.Error(err)
	}
	if err := pool.Delete("full"); err != nil {
		t.Errorf("delete: %v", err)
	}
}
