package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrNoFreezer says that the kernel cannot freeze a group.
var ErrNoFreezer = errors.New("the freezer controller is missing")

// freezer is the file that freezes the sandbox's group and all below it, and
// what to write into it.
func (t *Tree) freezer(id string) (file, freeze, thaw string) {
	if t.v1 != nil {
		return t.v1.freezer(t.OCIPath(id))
	}
	return filepath.Join(t.dir(id), "cgroup.freeze"), "1", "0"
}

// frozen tells whether the last process stands, which comes some time after the
// file says that they should.
func (t *Tree) frozen(id string) bool {
	if t.v1 != nil {
		return t.v1.frozen(t.OCIPath(id))
	}
	n, err := field(filepath.Join(t.dir(id), "cgroup.events"), "frozen")
	return err == nil && n == 1
}

// Freezer freezes one sandbox for a moment. It is made before the moment,
// because it starts a guard: a process that thaws the sandbox when this one
// ends, by kill -9 too.
type Freezer struct {
	tree  *Tree
	id    string
	guard *exec.Cmd
	leash io.Closer // the guard ends with it
}

// Freezer prepares to freeze the sandbox. Close must follow. Errors:
// ErrNoFreezer.
func (t *Tree) Freezer(id string) (*Freezer, error) {
	file, _, thaw := t.freezer(id)
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("freeze sandbox %s: %w: %w", id, ErrNoFreezer, err)
	}
	f := &Freezer{tree: t, id: id}
	// A reader of a pipe that nobody writes to: its end is the writer's.
	f.guard = exec.Command("/bin/sh", "-c", `read -r _; echo "$2" >"$1"`, "daytona-thaw", file, thaw)
	// Not in our session, so that what a terminal sends to us does not end it.
	f.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leash, err := f.guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := f.guard.Start(); err != nil {
		return nil, fmt.Errorf("freeze sandbox %s: start the guard: %w", id, err)
	}
	f.leash = leash
	return f, nil
}

// Freeze stops every process of the sandbox and returns when the last one
// stands, or fails with the sandbox thawed. One that waits for another by FUSE,
// as for what the agent shows, never stands when that one stood first; the next
// time it may be the other way round. So it is tried for a short time first, and
// for longer then, up to patience.
func (f *Freezer) Freeze(ctx context.Context, patience time.Duration) error {
	for wait := patience / 16; wait <= patience && ctx.Err() == nil; wait *= 2 {
		if stands, err := f.try(ctx, wait); err != nil || stands {
			return err
		}
		if err := f.Thaw(); err != nil {
			return err
		}
		time.Sleep(pause) // in which answers are given
	}
	return fmt.Errorf("freeze sandbox %s: a process does not stop", f.id)
}

// pause is how long to wait before looking again.
const pause = 200 * time.Microsecond

func (f *Freezer) try(ctx context.Context, patience time.Duration) (stands bool, err error) {
	file, freeze, _ := f.tree.freezer(f.id)
	if err := os.WriteFile(file, []byte(freeze), 0); err != nil {
		return false, fmt.Errorf("freeze sandbox %s: %w", f.id, err)
	}
	for end := time.Now().Add(patience); !f.tree.frozen(f.id); time.Sleep(pause) {
		if time.Now().After(end) || ctx.Err() != nil {
			return false, nil
		}
	}
	return true, nil
}

// Thaw lets the sandbox go on; one that goes on already, or has gone, is fine.
func (f *Freezer) Thaw() error { return f.tree.Thaw(f.id) }

// Close thaws the sandbox and ends the guard, which thaws it once more.
func (f *Freezer) Close() error {
	err := errors.Join(f.Thaw(), f.leash.Close())
	_ = f.guard.Wait() // its group may have gone meanwhile
	return err
}

// Thaw lets a sandbox go on that a killed server may have frozen.
func (t *Tree) Thaw(id string) error {
	file, _, thaw := t.freezer(id)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(b)) == thaw {
		return nil
	}
	err = os.WriteFile(file, []byte(thaw), 0)
	if err != nil && ignoreGone(err) != nil {
		return fmt.Errorf("thaw sandbox %s: %w", id, err)
	}
	return nil
}
