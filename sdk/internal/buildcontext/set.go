// Package buildcontext packs the files that builds copy into archives and
// uploads those that the server does not have: what a Dockerfile takes from its
// directory, and what the Image builder was given. It imports only api of the
// house; package daytona is its user. Look next at dockerfile.go (what is
// copied), archive.go (how it is packed and named) and upload.go.
package buildcontext

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// Limits of the server on what a build may copy.
const (
	MaxBytes   = 5 << 30
	MaxEntries = 1_000_000
)

// ErrLimit says that there is more than a build may have.
var ErrLimit = errors.New("the build context is too large")

// entry is a file, directory or link.
type entry struct {
	name string // in the context, with slashes
	path string // on this machine
	mode fs.FileMode
	size int64
	link string // of a symbolic link
	time time.Time
}

// Set is files that builds copy, by their names in the context. The first of a
// name stays. The zero value is empty.
type Set struct {
	entries map[string]entry
	bytes   int64
}

func (s *Set) add(e entry) error {
	if first, ok := s.entries[e.name]; ok {
		if first.path != e.path && e.mode.IsRegular() {
			return fmt.Errorf("%s and %s would both be %s in the build context: name one of them by its whole path", first.path, e.path, e.name)
		}
		return nil
	}
	if s.entries == nil {
		s.entries = map[string]entry{}
	}
	s.entries[e.name] = e
	s.bytes += e.size
	return check(s.bytes, len(s.entries))
}

func check(bytes int64, entries int) error {
	if bytes > MaxBytes {
		return fmt.Errorf("%w: it has more than %d GiB; leave files out by .dockerignore, or copy less", ErrLimit, MaxBytes>>30)
	}
	if entries > MaxEntries {
		return fmt.Errorf("%w: it has more than %d files; leave some out by .dockerignore, or copy less", ErrLimit, MaxEntries)
	}
	return nil
}

// AddFile adds one file under that name. A link is followed.
func (s *Set) AddFile(name, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	file, err = filepath.Abs(file)
	if err != nil {
		return err
	}
	return s.add(entry{name: name, path: file, mode: modeOf(info.Mode()), size: info.Size(), time: info.ModTime()})
}

// AddDir adds a directory with all that is in it under that name.
func (s *Set) AddDir(ctx context.Context, name, dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := s.add(entry{name: name, path: abs, mode: modeOf(info.Mode()), time: info.ModTime()}); err != nil {
		return err
	}
	return s.walk(ctx, name, abs, &fsutil.FilterOpt{})
}

// Source is a directory that COPY takes files from.
type Source struct {
	Dir    string
	Only   []string // only what is there, relative with slashes; nil is all
	Ignore []string // patterns of .dockerignore
}

// AddCopied adds those of the patterns (see Copied) that are in the sources,
// where a path is in the first that has it.
func (s *Set) AddCopied(ctx context.Context, patterns []string, sources ...Source) error {
	if len(patterns) == 0 {
		return nil
	}
	var found Set
	for _, from := range sources {
		dir, err := filepath.Abs(from.Dir)
		if err != nil {
			return err
		}
		var here Set
		filter := &fsutil.FilterOpt{ExcludePatterns: from.Ignore}
		if !slices.Contains(patterns, everything) {
			filter.FollowPaths = patterns
		}
		if err := here.walk(ctx, "", dir, filter); err != nil {
			return err
		}
		for name, e := range here.entries {
			if _, taken := found.entries[name]; !taken && within(name, from.Only, e.mode.IsDir()) {
				if err := found.add(e); err != nil {
					return err
				}
			}
		}
	}
	for _, e := range found.entries {
		if err := s.add(e); err != nil {
			return err
		}
	}
	return nil
}

// within tells whether a path is one of those, or below one, or a directory
// above one.
func within(name string, only []string, dir bool) bool {
	if len(only) == 0 {
		return true
	}
	return slices.ContainsFunc(only, func(o string) bool {
		return name == o || strings.HasPrefix(name, o+"/") || dir && strings.HasPrefix(o, name+"/")
	})
}

// walk adds what passes the filter below dir. Sockets, pipes and devices are
// left out.
func (s *Set) walk(ctx context.Context, prefix, dir string, filter *fsutil.FilterOpt) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	all, err := fsutil.NewFS(dir)
	if err != nil {
		return err
	}
	some, err := fsutil.NewFilterFS(all, filter)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return some.Walk(ctx, "", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() && !info.IsDir() && info.Mode().Type() != fs.ModeSymlink {
			return nil
		}
		e := entry{name: path.Join(prefix, filepath.ToSlash(name)), path: filepath.Join(dir, name), mode: modeOf(info.Mode()), time: info.ModTime()}
		if info.Mode().IsRegular() {
			e.size = info.Size()
		}
		if stat, ok := info.Sys().(*types.Stat); ok && info.Mode().Type() == fs.ModeSymlink {
			e.link = filepath.ToSlash(stat.Linkname)
		}
		return s.add(e)
	})
}

// modeOf is the kind and permissions of a file, which are all that a context
// keeps.
func modeOf(m fs.FileMode) fs.FileMode { return m & (fs.ModeType | fs.ModePerm) }

// Ignored reads the patterns of what builds of the Dockerfile leave out of dir:
// those of DOCKERFILE.dockerignore, else of .dockerignore there.
func Ignored(dockerfile, dir string) ([]string, error) {
	for _, file := range []string{dockerfile + ".dockerignore", filepath.Join(dir, ".dockerignore")} {
		patterns, err := readIgnore(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && file == dockerfile+".dockerignore" {
			// It counts in place of the other, which the builder would obey too.
			patterns = append(patterns, ".dockerignore")
		}
		return patterns, err
	}
	return nil, nil
}

func readIgnore(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return patterns, nil
}
