package lsp

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// maxDocument is the longest file that is sent to a server.
const maxDocument = 8 << 20

// withoutScheme takes file:// away, which SDKs put before whatever path they are
// given: relative ones too, and without any encoding.
func withoutScheme(uri string) string {
	const scheme = "file://"
	if len(uri) >= len(scheme) && strings.EqualFold(uri[:len(scheme)], scheme) {
		return uri[len(scheme):]
	}
	return uri
}

// places are where a document may be, the likeliest first. What SDKs send is not
// encoded, and relative to the working directory; what others send may be encoded,
// or relative to the project.
func (s *Service) places(p *project, uri string) ([]string, error) {
	path := withoutScheme(uri)
	if path == "" {
		return nil, wire.Bad("uri is missing: give the path of a file")
	}
	if scheme, _, found := strings.Cut(path, "://"); found && scheme != "" && !strings.Contains(scheme, "/") {
		return nil, wire.Bad("uri %s is not a file: give a path, or a URI that begins with file://", shorten(uri))
	}
	forms := []string{path}
	if decoded, err := url.PathUnescape(path); err == nil && decoded != path {
		forms = append(forms, decoded)
	}
	var all []string
	for _, form := range forms {
		first, err := s.launcher.Path(form)
		if err != nil {
			return nil, err
		}
		all = append(all, first)
		if !filepath.IsAbs(form) && form != "~" && !strings.HasPrefix(form, "~/") {
			all = append(all, filepath.Join(p.root, form))
		}
	}
	return all, nil
}

// locate is the first place at which there is something.
func (s *Service) locate(p *project, uri string) (string, error) {
	places, err := s.places(p, uri)
	if err != nil {
		return "", err
	}
	found := places[0]
	err = s.launcher.AsUser(func() error {
		i := slices.IndexFunc(places, func(path string) bool { _, err := os.Stat(path); return err == nil })
		if i >= 0 {
			found = places[i]
		}
		return nil
	})
	return found, err
}

// stat tells what is at path as far as the user can see.
func (s *Service) stat(path string) (there, directory bool) {
	_ = s.launcher.AsUser(func() error {
		info, err := os.Stat(path)
		there = err == nil
		directory = there && info.IsDir()
		return nil
	})
	return there, directory
}

// readDocument reads a file with the user's rights.
func readDocument(l *launch.Launcher, path string) (text string, err error) {
	err = l.AsUser(func() (err error) { text, err = readText(path, maxDocument); return err })
	var known *wire.Error
	if err != nil && !errors.As(err, &known) {
		err = wire.Bad("%v", err)
	}
	return text, err
}

// readText reads a regular file of UTF-8 with the rights that the caller has.
func readText(path string, most int64) (string, error) {
	// A named pipe without a writer would block without O_NONBLOCK.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return "", err
	case int64(len(b)) > most:
		return "", fmt.Errorf("%s is longer than %d bytes, which is the most for a language server", path, most)
	case !utf8.Valid(b):
		return "", fmt.Errorf("%s is not UTF-8: convert it first", path)
	}
	return string(b), nil
}

// fileURI is the one form in which paths go to servers and clients.
func fileURI(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "file://" + strings.Join(parts, "/")
}

// sameForm writes a server's URI of a file as fileURI does.
func sameForm(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" || u.Path == "" {
		return uri
	}
	return fileURI(u.Path)
}

// path is the PATH of servers: they call other programs of theirs (node, go).
func (s *Service) path(home string) string {
	dirs := filepath.SplitList(s.launcher.Env.Get("PATH"))
	for _, dir := range append(filepath.SplitList(launch.WellKnownPath), usersBin(home)...) {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}
