// Package rights lets the agent, which is root of the sandbox, touch files with
// the rights of the sandbox's user and no others. The kernel checks them, at each
// link of a path too, so there is nothing to check before, and nothing that can
// change in between. It imports only the standard library, golang.org/x/sys and
// package identity.
package rights

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/identity"
)

// As runs f with the user's rights to files: its ids and groups, and none of
// root's capabilities. They are those of the thread, so f must not let other
// goroutines do its work. Root, and an agent that is not root, have their own.
func As(u identity.User, f func() error) error {
	if u.UID == 0 || os.Geteuid() != 0 {
		return f()
	}
	runtime.LockOSThread()
	before, err := take(u)
	defer func() {
		// A thread that is never unlocked ends with its goroutine, and nobody
		// else gets what it has of the user's rights.
		if giveBack(before) == nil {
			runtime.UnlockOSThread()
		}
	}()
	if err != nil {
		return fmt.Errorf("take the rights of user %s: %w", u.Name, err)
	}
	return f()
}

// state is what a thread had before.
type state struct {
	uid, gid int // for files (setfsuid(2))
	groups   []int
	caps     [2]unix.CapUserData
}

func header() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // pid 0 is this thread
}

// take changes this thread alone: unlike those of package syscall, the functions
// of x/sys/unix do not speak for the whole process.
func take(u identity.User) (s state, err error) {
	if err := unix.Capget(header(), &s.caps[0]); err != nil {
		return s, fmt.Errorf("read capabilities: %w", err)
	}
	if s.groups, err = unix.Getgroups(); err != nil {
		return s, fmt.Errorf("read groups: %w", err)
	}
	groups := make([]int, len(u.Groups))
	for i, g := range u.Groups {
		groups[i] = int(g)
	}
	if err := unix.Setgroups(groups); err != nil {
		return s, fmt.Errorf("set groups: %w", err)
	}
	if s.gid, err = setFS(unix.SetfsgidRetGid, int(u.GID)); err != nil {
		return s, fmt.Errorf("set group: %w", err)
	}
	if s.uid, err = setFS(unix.SetfsuidRetUid, int(u.UID)); err != nil {
		return s, fmt.Errorf("set user: %w", err)
	}
	// Another user's id takes away what overrides permissions of files only.
	// CAP_SYS_PTRACE, for one, opens what /proc has of others' processes.
	none := s.caps
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(header(), &none[0]); err != nil {
		return s, fmt.Errorf("drop capabilities: %w", err)
	}
	return s, nil
}

func giveBack(s state) error {
	if err := unix.Capset(header(), &s.caps[0]); err != nil {
		return err
	}
	if _, err := setFS(unix.SetfsuidRetUid, s.uid); err != nil {
		return err
	}
	if _, err := setFS(unix.SetfsgidRetGid, s.gid); err != nil {
		return err
	}
	if err := unix.Setgroups(s.groups); err != nil {
		return err
	}
	// The way back to root's id may have changed the effective ones again.
	return unix.Capset(header(), &s.caps[0])
}

// setFS sets an id and returns the one before. The system call tells of no
// failure, only of the id before, so it is asked a second time.
func setFS(set func(int) (int, error), id int) (before int, err error) {
	if before, err = set(id); err != nil {
		return before, err
	}
	if now, err := set(id); err != nil || now != id {
		return before, fmt.Errorf("id %d is not one of this sandbox", id)
	}
	return before, nil
}
