package objectstore

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FuzzExtract looks for an archive that writes outside its directory, or beyond
// its limits.
func FuzzExtract(f *testing.F) {
	archive := func(headers ...tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			if _, err := w.Write(make([]byte, h.Size)); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	f.Add(archive(tar.Header{Name: "a/b", Size: 3, Mode: 0o644}, tar.Header{Name: "a/c", Typeflag: tar.TypeSymlink, Linkname: "b"}))
	f.Add(archive(tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, tar.Header{Name: "l/canary", Size: 1, Mode: 0o644}))
	f.Add(archive(tar.Header{Name: "../canary", Size: 1, Mode: 0o644}))
	f.Add(archive(tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../canary"}, tar.Header{Name: "l", Size: 9, Mode: 0o4777}))
	const most, count = 1 << 16, 20
	f.Fuzz(func(t *testing.T, data []byte) {
		outside := t.TempDir()
		dir, canary := filepath.Join(outside, "dir"), filepath.Join(outside, "canary")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(canary, []byte("alive"), 0o600)); err != nil {
			t.Fatal(err)
		}
		err := Extract(t.Context(), bytes.NewReader(data), dir, Limits{Bytes: most, Entries: count})
		if err != nil && !errors.Is(err, ErrArchive) {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(canary); err != nil || string(b) != "alive" {
			t.Fatalf("the canary says %q, %v", b, err)
		}
		if info, err := os.Stat(canary); err != nil || info.Mode() != 0o600 {
			t.Fatalf("the canary is %v, %v", info, err)
		}
		if all, err := os.ReadDir(outside); err != nil || len(all) != 2 {
			t.Fatalf("outside is %v, %v", all, err)
		}
		var bytes int64
		err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode().IsRegular() {
				bytes += info.Size()
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrPermission) || bytes > most {
			t.Fatalf("%d bytes, %v", bytes, err)
		}
	})
}
