// Package fs answers /files: it reads and changes the sandbox's files with the
// rights of the sandbox's user. Relative paths start in the working directory.
package fs

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers the file routes.
type Service struct {
	launcher *launch.Launcher
	served   Served
	patience time.Duration // with what takes what is uploaded, and is no file
}

// Served are files that the agent itself serves to the kernel (package view). It
// must not ask the kernel for them: a thread would wait for another of its
// process, and not even a kill ends such a wait.
type Served interface {
	// Text is what the file behind an O_PATH descriptor says, if it is served.
	Text(fd int) (text string, ok bool)
}

// New makes the service; served may be nil.
func New(l *launch.Launcher, served Served) *Service {
	return &Service{launcher: l, served: served, patience: 30 * time.Second}
}

// Register adds the service's routes. Those that copy content have the user's
// rights only when they open files: a thread with rights of its own is bound to
// its request, and a client may be slow.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("GET /files", s.asUser(s.list))
	mux.Handle("GET /files/{$}", s.asUser(s.list))
	mux.Handle("DELETE /files", s.asUser(s.remove))
	mux.Handle("DELETE /files/{$}", s.asUser(s.remove))
	mux.Handle("GET /files/info", s.asUser(s.info))
	mux.Handle("POST /files/folder", s.asUser(s.folder))
	mux.Handle("POST /files/move", s.asUser(s.move))
	mux.Handle("POST /files/permissions", s.asUser(s.permissions))
	mux.Handle("GET /files/find", s.asUser(s.find))
	mux.Handle("GET /files/search", s.asUser(s.search))
	mux.Handle("POST /files/replace", wire.Handler(s.replace))
	mux.Handle("GET /files/download", wire.Handler(s.download))
	mux.Handle("POST /files/bulk-download", wire.Handler(s.bulkDownload))
	mux.Handle("POST /files/upload", readingOn(s.upload))
	mux.Handle("POST /files/upload-v2", readingOn(s.upload))
	mux.Handle("POST /files/bulk-upload", readingOn(s.bulkUpload))
}

// asUser answers a route with the rights of the sandbox's user.
func (s *Service) asUser(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return wire.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return s.launcher.AsUser(func() error { return h(w, r) })
	})
}

// path makes the path in a query parameter absolute.
func (s *Service) path(r *http.Request, parameter string) (string, error) {
	p := r.URL.Query().Get(parameter)
	if p == "" {
		return "", wire.Bad("query parameter %q is missing", parameter)
	}
	return s.launcher.Path(p)
}

// asked is a path as a client wrote it, and where that is.
type asked struct{ text, path string }

func (s *Service) asked(r *http.Request, parameter string) (asked, error) {
	path, err := s.path(r, parameter)
	return asked{r.URL.Query().Get(parameter), path}, err
}

// show writes a path at or below the one asked for in the client's way, so that
// it may be asked for in turn.
func (a asked) show(path string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, a.path), "/")
	switch {
	case rest == "":
		return a.text
	case strings.HasPrefix(a.text, "~"): // of whose ".." may lead out of the home directory
		return strings.TrimRight(a.text, "/") + "/" + rest
	}
	shown := filepath.Join(a.text, rest)
	if strings.HasPrefix(shown, "~") { // which is no home directory
		shown = "./" + shown
	}
	return shown
}

// mode reads octal permission bits.
func mode(text string) (os.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, wire.Bad("mode %q is not an octal number such as 644 or 0755", text)
	}
	m := os.FileMode(n & 0o777)
	if n&0o4000 != 0 {
		m |= os.ModeSetuid
	}
	if n&0o2000 != 0 {
		m |= os.ModeSetgid
	}
	if n&0o1000 != 0 {
		m |= os.ModeSticky
	}
	return m, nil
}

// entry is a file as the API tells of it.
type entry struct {
	Name        string `json:"name"`
	Path        string `json:"path,omitempty"`
	IsDir       bool   `json:"isDir"`
	Size        int64  `json:"size"`
	Mode        string `json:"mode"`
	Permissions string `json:"permissions"`
	Owner       string `json:"owner"`
	Group       string `json:"group"`
	ModTime     string `json:"modTime"` // the layout that older clients expect
	ModifiedAt  string `json:"modifiedAt"`
}

func (s *Service) describe(info os.FileInfo) entry {
	e := entry{
		Name: info.Name(), IsDir: info.IsDir(), Size: info.Size(), Mode: info.Mode().String(),
		ModTime: info.ModTime().UTC().String(), ModifiedAt: info.ModTime().UTC().Format(time.RFC3339Nano),
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Permissions = "0" + strconv.FormatUint(uint64(st.Mode&0o777), 8)
		for len(e.Permissions) < 4 {
			e.Permissions = "0" + e.Permissions
		}
		if special := st.Mode & 0o7000; special != 0 {
			e.Permissions = strconv.FormatUint(uint64(st.Mode&0o7777), 8)
		}
		e.Owner = s.launcher.IDs.UserName(st.Uid)
		e.Group = s.launcher.IDs.GroupName(st.Gid)
	}
	return e
}
