package toolbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/session"
	"github.com/opendaytona/daytona/internal/toolbox/view"
)

// grace is how long processes have to end after they were asked, the entrypoint
// half of it alone. The engine's own grace may be shorter.
const grace = 8 * time.Second

// Run serves the API on listener until SIGTERM. It returns when everything in
// the sandbox has ended.
func Run(cfg boot.Config, listener net.Listener) error {
	group, err := cgroup.Open("/sys/fs/cgroup")
	if err != nil {
		slog.Warn("the limits are not visible", "error", err)
	}
	if os.Getpid() == 1 {
		if err := group.Delegate(); err != nil {
			slog.Warn("container engines in the sandbox can limit nothing", "error", err)
		}
	}
	terminate := signals()
	becomeReaper()
	spareThreads(16)
	limitFiles(cfg.OpenFiles)
	shown := showSize(group)
	inMemory := mountState()
	shareMounts() // after the last that the agent makes

	removeStalePIDs("/run")

	procs := proc.New(true)
	l := launch.New(cfg, group, identity.New("/etc"), procs)
	l.After = shown.done
	if cfg.Profile != "" {
		if err := l.KeepProfile(cfg.Profile); err != nil {
			slog.Warn("login shells do not learn of changed variables", "error", err)
		}
	}
	dir, err := stateDir(inMemory)
	if err != nil {
		return err
	}
	sessions, err := session.New(l, filepath.Join(cmp.Or(inMemory, dir), "pipes"), filepath.Join(dir, "logs"))
	if err != nil {
		return fmt.Errorf("prepare sessions: %w", err)
	}
	// The first command may wait in the listener's backlog already, and runs
	// there. What fails is told, not fatal: the API helps to mend it.
	if err := l.MakeWorkDir(); err != nil {
		slog.Error("working directory is missing", "error", err)
	}
	srv := &http.Server{Handler: Handler(cfg, l, sessions, group, shown)}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()

	if len(cfg.Entrypoint) > 0 {
		if err := sessions.RunEntrypoint(cfg.Entrypoint); err != nil {
			slog.Error("entrypoint does not run", "error", err)
		}
	}

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-terminate:
	}
	procs.KillAll(sessions.EntrypointProcess(), grace)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("shut down", "error", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		slog.Warn("remove session files", "error", err)
	}
	return nil
}

// size is the view of the sandbox's size that programs have.
type size struct {
	done chan struct{} // closed when they have it, or when that is impossible
	view *view.View    // valid then; nil when there is none
}

// showSize lets programs see the size of the sandbox in place of the machine's.
// The mounts take longer than all else that the agent does before it serves.
func showSize(group *cgroup.Group) *size {
	s := &size{done: make(chan struct{})}
	if os.Getpid() != 1 {
		close(s.done)
		return s
	}
	start := time.Now()
	go func() {
		defer close(s.done)
		var err error
		if s.view, err = view.Mount(group, start); err != nil {
			slog.Warn("programs see the machine's size", "error", err)
		}
	}()
	return s
}

// Text is fs.Served.
func (s *size) Text(fd int) (string, bool) {
	<-s.done
	if s.view == nil {
		return "", false
	}
	return s.view.Text(fd)
}

// removeStalePIDs removes what says who runs: at the start nobody does. A sandbox
// that was killed leaves such files on its disk, where other machines have a
// filesystem in memory, and dockerd would not start again.
func removeStalePIDs(dir string) {
	if os.Getpid() != 1 {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".pid") {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.Warn("remove a stale pid file", "path", path, "error", err)
		}
		return nil
	})
}

// limitFiles sets the soft limit of the agent and what it starts.
func limitFiles(soft uint64) {
	var now unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now)
	if err == nil && soft > 0 {
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(soft, now.Max), Max: now.Max})
	}
	if err != nil {
		slog.Warn("limit open files", "error", err)
	}
}

// signals returns a channel that is closed by SIGTERM. Signals that would end a
// Go program are taken and dropped: the kernel lets a first process be signalled
// by the sandbox's root, who must not crash it by mistake.
func signals() <-chan struct{} {
	terminate := make(chan struct{})
	all := make(chan os.Signal, 16)
	signal.Notify(all,
		unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM,
		unix.SIGPIPE, unix.SIGTRAP, unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGVTALRM,
		unix.SIGXCPU, unix.SIGXFSZ, unix.SIGSTKFLT, unix.SIGIO, unix.SIGPWR, unix.SIGTTIN, unix.SIGTTOU, unix.SIGTSTP)
	go func() {
		done := false
		for s := range all {
			if s == unix.SIGTERM && !done {
				done = true
				close(terminate)
			}
		}
	}()
	return terminate
}

// becomeReaper makes orphans children of this process, as they are of a first
// process.
func becomeReaper() {
	if os.Getpid() == 1 {
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		slog.Warn("orphans will not be collected", "error", err)
	}
}
