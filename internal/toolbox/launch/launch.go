// Package launch knows how processes of the sandbox are run: as which user,
// where, with which environment and by which shell. It stands between the
// agent's configuration and package proc; every room that runs something
// imports it.
package launch

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/rights"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
	"github.com/opendaytona/daytona/internal/userid"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Launcher starts processes as the sandbox's user.
type Launcher struct {
	IDs   *identity.Database
	Procs *proc.Table
	Env   *Environment
	After <-chan struct{} // nothing is started before it is closed; nil is at once

	user    string
	workDir string
	group   *cgroup.Group // tells the sandbox's size
}

// Command is what to run. Dir "" is the working directory.
type Command struct {
	Argv  []string // the first is searched for in PATH
	Env   map[string]string
	Dir   string
	Files []uintptr
	TTY   bool
	// Without tells which of the sandbox's variables it does not get; nil is none.
	Without func(name string) bool
}

// New makes the launcher of a sandbox with this configuration.
func New(cfg boot.Config, group *cgroup.Group, ids *identity.Database, procs *proc.Table) *Launcher {
	return &Launcher{IDs: ids, Procs: procs, Env: NewEnvironment(cfg.Env), user: cfg.User, workDir: cfg.WorkDir, group: group}
}

// User is whom processes run as and to whom new files belong.
func (l *Launcher) User() (identity.User, error) {
	u, err := l.IDs.Lookup(l.user)
	if err != nil {
		return u, wire.Bad("%v: add it, or make the sandbox with another user", err)
	}
	for _, id := range append([]uint32{u.UID, u.GID}, u.Groups...) {
		if !userid.Inside(id) {
			return u, wire.Bad("user %q has the id %d, or is in a group of it: %s", u.Name, id, userid.Advice)
		}
	}
	return u, nil
}

// AsUser runs f with the user's rights to files; see rights.As. It must not be
// called within itself.
func (l *Launcher) AsUser(f func() error) error {
	u, err := l.User()
	if err != nil {
		return err
	}
	return rights.As(u, f)
}

// Home is the user's home directory.
func (l *Launcher) Home() string {
	if u, err := l.User(); err == nil {
		return u.Home
	}
	return "/"
}

// WorkDir is where relative paths start. It falls back to the user's home and
// then to the root when it was removed.
func (l *Launcher) WorkDir() string {
	for _, dir := range []string{l.workDir, l.Home()} {
		if dir == "" {
			continue
		}
		// One that is there and out of the caller's reach is no reason to go elsewhere.
		if info, err := os.Stat(dir); errors.Is(err, os.ErrPermission) || err == nil && info.IsDir() {
			return dir
		}
	}
	return "/"
}

// MakeWorkDir makes a working directory that the image lacks.
func (l *Launcher) MakeWorkDir() error {
	if l.workDir == "" {
		return nil
	}
	u, err := l.User()
	if err != nil {
		return err
	}
	if err := MkdirAll(l.workDir, 0o755, u); err != nil {
		return fmt.Errorf("make working directory: %w", err)
	}
	return nil
}

// Path makes path absolute. "~" and what begins with "~/" is in the user's home,
// as in a shell; a file of that name is "./~".
func (l *Launcher) Path(path string) (string, error) {
	switch {
	case path == "":
		return "", wire.Bad("a path is missing")
	case strings.ContainsRune(path, 0):
		return "", wire.Bad("path %q contains a NUL byte", path)
	case filepath.IsAbs(path):
		return filepath.Clean(path), nil
	case path == "~" || strings.HasPrefix(path, "~/"):
		return filepath.Join(l.Home(), path[1:]), nil
	}
	return filepath.Join(l.WorkDir(), path), nil
}

// Start runs c. Its errors are fit for an answer.
func (l *Launcher) Start(c Command) (*proc.Process, error) {
	if l.After != nil {
		<-l.After
	}
	u, err := l.User()
	if err != nil {
		return nil, err
	}
	dir := l.WorkDir()
	if c.Dir != "" {
		if dir, err = l.Path(c.Dir); err != nil {
			return nil, err
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, wire.Bad("working directory %q does not exist or is not a directory", dir)
		}
	}
	env, err := l.Env.list(l.defaults(u), c.Env, c.Without)
	if err != nil {
		return nil, err
	}
	for _, arg := range c.Argv {
		if strings.ContainsRune(arg, 0) {
			return nil, wire.Bad("the command contains a NUL byte")
		}
	}
	path, err := lookPath(c.Argv[0], pathOf(env), dir)
	if err != nil {
		return nil, err
	}
	p, err := l.Procs.Start(proc.Spec{
		Path: path, Args: c.Argv, Env: env, Dir: dir, Files: c.Files, TTY: c.TTY,
		UID: u.UID, GID: u.GID, Groups: u.Groups,
	})
	if err != nil {
		return nil, startError(err, path, dir, u)
	}
	return p, nil
}

func startError(err error, path, dir string, u identity.User) error {
	switch {
	case errors.Is(err, proc.ErrEnding):
		return wire.Errorf(http.StatusServiceUnavailable, wire.Internal, "start %s: the sandbox is being stopped: start it again", path)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return wire.Errorf(http.StatusServiceUnavailable, wire.Internal,
			"start %s: the sandbox has no process or memory left (%v): end some of its processes", path, err)
	case errors.Is(err, syscall.E2BIG):
		return wire.Bad("start %s: the command or its environment is too long: put it into a file and run that", path)
	case errors.Is(err, syscall.EACCES):
		return wire.Bad("start %s in %s: user %q has no permission for one of them", path, dir, u.Name)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOEXEC), errors.Is(err, syscall.ENOTDIR):
		return wire.Bad("start %s in %s: %v: the program or the interpreter it names does not exist for this architecture", path, dir, err)
	}
	return fmt.Errorf("start %s: %w", path, err)
}

// defaults are the variables that a login sets.
func (l *Launcher) defaults(u identity.User) map[string]string {
	shell := u.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	// The kernel tells of all the machine's cores. These two are what nproc,
	// numeric libraries and Python take for the number of threads to start.
	cores := strconv.Itoa(l.group.Cores())
	return map[string]string{
		"PATH": defaultPath, "HOME": u.Home, "USER": u.Name, "LOGNAME": u.Name, "SHELL": shell,
		"OMP_NUM_THREADS": cores, "PYTHON_CPU_COUNT": cores,
	}
}
