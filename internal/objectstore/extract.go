package objectstore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Limits of one archive, unpacked.
type Limits struct {
	Bytes   int64
	Entries int
}

// ErrArchive says what is wrong with an archive.
var ErrArchive = errors.New("context archive is not valid")

// Extract unpacks a tar archive below dir, where files of other archives may be.
// No entry leads out of dir: os.Root follows no link that does. Errors:
// ErrArchive.
func Extract(ctx context.Context, r io.Reader, dir string, limits Limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	in := tar.NewReader(r)
	for entries := 0; ; entries++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if entries >= limits.Entries {
			return fmt.Errorf("%w: it has more than %d files", ErrArchive, limits.Entries)
		}
		if limits.Bytes -= h.Size; limits.Bytes < 0 {
			return fmt.Errorf("%w: it is too large unpacked", ErrArchive)
		}
		if err := extract(root, h, in); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrArchive, h.Name, err)
		}
	}
}

func extract(root *os.Root, h *tar.Header, from io.Reader) error {
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if name == ".." || strings.HasPrefix(name, "../") {
		return errors.New("it leads out of the archive")
	}
	if name == "." {
		return nil
	}
	mode := h.FileInfo().Mode().Perm()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return root.Chmod(name, mode|0o700)
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, from)
		err = errors.Join(err, f.Chmod(mode), f.Close())
		if err != nil {
			return err
		}
		// The time counts for what is cached only where the content does.
		return root.Chtimes(name, h.ModTime, h.ModTime)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return root.Link(path.Clean(strings.TrimLeft(h.Linkname, "/")), name)
	}
	return fmt.Errorf("it is neither a file nor a directory nor a link (type %q)", h.Typeflag)
}
