package buildcontext

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Archive is a part of a set that is uploaded by itself. Its hash tells the
// names, kinds, permissions and contents in it and nothing else: times do not
// count, as they do not for the builder's cache.
type Archive struct {
	Hash    string
	Size    int64 // bytes of the files in it
	entries []entry
}

// How a set is parted, so that a change of one file sends little: the largest
// files go alone, the others by the first directory of their names.
const (
	largeFile  = 1 << 20 // bytes
	maxLarge   = 200
	maxFolders = 200
)

// Archives parts the set, reading all files once.
func (s *Set) Archives(ctx context.Context) ([]Archive, error) {
	var archives []Archive
	for _, entries := range s.parts() {
		a := Archive{entries: entries}
		sum := sha256.New()
		for _, e := range entries {
			if err := describe(ctx, sum, e, io.Discard); err != nil {
				return nil, err
			}
			a.Size += e.size
		}
		a.Hash = hex.EncodeToString(sum.Sum(nil))
		archives = append(archives, a)
	}
	return archives, nil
}

func (s *Set) parts() (parts [][]entry) {
	var all []entry
	for _, e := range s.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(cmp.Compare(b.size, a.size), strings.Compare(a.name, b.name)) })
	n := 0
	for n < len(all) && n < maxLarge && all[n].size >= largeFile {
		n++
	}
	large, rest := all[:n], all[n:]
	for _, folder := range folders(rest) {
		slices.SortFunc(folder, byName)
		parts = append(parts, folder)
	}
	slices.SortFunc(large, byName)
	for _, e := range large {
		parts = append(parts, []entry{e})
	}
	return parts
}

func byName(a, b entry) int { return strings.Compare(a.name, b.name) }

// folders groups entries by the first directory of their names.
func folders(all []entry) [][]entry {
	by := map[string][]entry{}
	for _, e := range all {
		first, _, below := strings.Cut(e.name, "/")
		if !below && !e.mode.IsDir() {
			first = ""
		}
		by[first] = append(by[first], e)
	}
	if len(by) > maxFolders {
		return [][]entry{all}
	}
	var names []string
	for name := range by {
		names = append(names, name)
	}
	slices.Sort(names)
	var out [][]entry
	for _, name := range names {
		out = append(out, by[name])
	}
	return out
}

// errChanged says that a file was written to meanwhile.
var errChanged = errors.New("it changed while it was read; try again")

// describe adds an entry to a hash, and copies a file's content to w as well.
func describe(ctx context.Context, sum hash.Hash, e entry, w io.Writer) error {
	fmt.Fprintf(sum, "%q %o %q %d\n", e.name, e.mode, e.link, e.size)
	if !e.mode.IsRegular() {
		return nil
	}
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(io.MultiWriter(sum, w), cancelled{ctx, io.LimitReader(f, e.size+1)})
	if err == nil && n != e.size || errors.Is(err, tar.ErrWriteTooLong) {
		err = fmt.Errorf("%s: %w", e.path, errChanged)
	}
	return err
}

// cancelled reads until its context ends.
type cancelled struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (c cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// write writes the archive, a tar file. It fails when that is not what the hash
// was made of.
func (a Archive) write(ctx context.Context, to io.Writer) error {
	w := tar.NewWriter(to)
	sum := sha256.New()
	for _, e := range a.entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), ModTime: e.time, Format: tar.FormatPAX}
		switch e.mode.Type() {
		case fs.ModeDir:
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		case fs.ModeSymlink:
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		default:
			h.Typeflag, h.Size = tar.TypeReg, e.size
		}
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
		if err := describe(ctx, sum, e, w); err != nil {
			return err
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != a.Hash {
		return fmt.Errorf("%s: %w", a.entries[0].path, errChanged)
	}
	return w.Close()
}
