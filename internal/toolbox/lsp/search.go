package lsp

import (
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Bounds of a search through a project.
const (
	maxEntries  = 100_000   // files and directories that are looked at
	maxSearched = 1 << 20   // of a file: longer ones are seldom written by people
	maxRead     = 256 << 20 // of all files
)

// search looks for files with the rights that the caller has.
type search struct {
	ctx      context.Context
	language *language
	needle   string // in lower case; "" is in every file
	most     int
	device   uint64 // of the project: other filesystems are left out

	entries int
	read    int64
	found   []string
}

// files finds files of the project's language that contain text, in any case.
// Hidden directories, installed packages and other filesystems are left out.
func (s *Service) files(ctx context.Context, p *project, text string, most int) ([]string, error) {
	one := &search{ctx: ctx, language: p.language, needle: strings.ToLower(text), most: most}
	err := s.launcher.AsUser(func() error {
		info, err := os.Stat(p.root)
		if err != nil {
			return wire.Bad("%v", err)
		}
		one.device = device(info)
		one.directory(p.root, 0) // which may be a link
		return nil
	})
	if err == nil && ctx.Err() != nil {
		err = wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the search in %s did not end in time: give a smaller project", shorten(p.root))
	}
	return one.found, err
}

func device(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Dev
	}
	return 0
}

func (s *search) done() bool {
	return len(s.found) >= s.most || s.entries >= maxEntries || s.read >= maxRead || s.ctx.Err() != nil
}

// directory looks into one and those below, some entries at a time: there may be
// any number. What cannot be read is left out.
func (s *search) directory(path string, flags int) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|flags, 0)
	if err != nil {
		return
	}
	var below []string
	for !s.done() {
		const some = 256
		entries, err := f.ReadDir(some)
		for _, e := range entries {
			if s.entries++; s.done() {
				break
			}
			at := filepath.Join(path, e.Name())
			switch {
			case e.IsDir() && s.worthwhile(at, e):
				below = append(below, at)
			case e.Type().IsRegular() && s.language.has(e.Name()):
				s.file(at)
			}
		}
		if err != nil {
			break
		}
	}
	f.Close()
	for _, at := range below {
		if s.done() {
			return
		}
		s.directory(at, syscall.O_NOFOLLOW)
	}
}

// worthwhile reports whether a directory may hold what the project's people wrote.
func (s *search) worthwhile(path string, e fs.DirEntry) bool {
	switch name := e.Name(); {
	case strings.HasPrefix(name, "."), name == "node_modules", name == "site-packages", name == "__pycache__":
		return false
	}
	if _, err := os.Lstat(filepath.Join(path, "pyvenv.cfg")); err == nil {
		return false
	}
	info, err := e.Info()
	return err == nil && device(info) == s.device
}

func (s *search) file(path string) {
	if s.needle == "" {
		s.found = append(s.found, path)
		return
	}
	text, err := readText(path, maxSearched)
	s.read += int64(len(text))
	if err == nil && strings.Contains(strings.ToLower(text), s.needle) {
		s.found = append(s.found, path)
	}
}
