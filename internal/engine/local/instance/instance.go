// Package instance lets several servers share one machine. Each claims an
// index, from which its network slice, id range and names follow, so that no
// two servers' resources can be taken for each other's. It imports only the
// standard library; package local claims one in Open.
package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Max is how many instances one machine can hold.
const Max = 16

// ErrInUse says that another server runs on the same data directory.
var ErrInUse = errors.New("another server is running on this data directory")

// Instance is a claim on an index. It holds until Release, or until the
// process ends: the kernel drops the locks then, and the same data directory
// gets the same index again.
type Instance struct {
	Index int
	path  string
	lock  *os.File
	name  int // a socket bound to name(Index)
}

// Claim takes an index for dataDir; claims are files in dir. A data directory
// keeps its index from one start to the next, because its running sandboxes
// still use what follows from it. An index whose owner is neither running nor
// busy is given away. Errors: ErrInUse.
func Claim(dir, dataDir string, busy func(index int) bool) (*Instance, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("claim instance: %w", err)
	}
	// One claim at a time: finding a free index and locking it are two steps.
	all, err := lockFile(filepath.Join(dir, "lock"), unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("claim instance: %w", err)
	}
	defer all.Close()

	var free []int
	for i := range Max {
		path := claimPath(dir, i)
		owner, err := os.ReadFile(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			if !busy(i) {
				free = append(free, i)
			}
			continue
		case err != nil:
			return nil, fmt.Errorf("claim instance: %w", err)
		}
		if strings.TrimSpace(string(owner)) == dataDir {
			inst, err := take(path, i, dataDir)
			switch {
			case errors.Is(err, unix.EWOULDBLOCK):
				return nil, fmt.Errorf("data directory %s: %w", dataDir, ErrInUse)
			case errors.Is(err, unix.EADDRINUSE):
				// Nothing of dataDir ran when the other server took the index.
				if err := os.Remove(path); err != nil {
					return nil, fmt.Errorf("claim instance: %w", err)
				}
				continue
			}
			return inst, err
		}
	}
	for _, i := range free {
		inst, err := take(claimPath(dir, i), i, dataDir)
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		return inst, err
	}
	for i := range Max {
		if busy(i) {
			continue
		}
		inst, err := take(claimPath(dir, i), i, dataDir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		return inst, err
	}
	return nil, fmt.Errorf("claim instance: all %d instances of this machine are taken; see %s", Max, dir)
}

// Owners are the data directories that have an index, whether a server runs on
// them or not. dir is Claim's.
func Owners(dir string) ([]string, error) {
	var all []string
	for i := range Max {
		owner, err := os.ReadFile(claimPath(dir, i))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read claims: %w", err)
		}
		all = append(all, strings.TrimSpace(string(owner)))
	}
	return all, nil
}

// Find is the index of dataDir, whether a server runs on it or not. dir is Claim's.
func Find(dir, dataDir string) (index int, there bool, err error) {
	for i := range Max {
		owner, err := os.ReadFile(claimPath(dir, i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, false, fmt.Errorf("read claims: %w", err)
		}
		if err == nil && strings.TrimSpace(string(owner)) == dataDir {
			return i, true, nil
		}
	}
	return 0, false, nil
}

// Forget makes the index of dataDir free for anyone, unless a server runs on it.
// dir is Claim's. Errors: ErrInUse.
func Forget(dir, dataDir string) error {
	i, there, err := Find(dir, dataDir)
	if err != nil || !there {
		return err
	}
	path := claimPath(dir, i)
	f, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("data directory %s: %w", dataDir, ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("forget instance %d: %w", i, err)
	}
	return errors.Join(os.Remove(path), f.Close())
}

// Release ends the claim. With forget the index is free for anyone at once;
// without, it stays reserved for the data directory as long as it is busy.
func (i *Instance) Release(forget bool) error {
	var err error
	if forget {
		err = os.Remove(i.path)
	}
	return errors.Join(err, i.lock.Close(), unix.Close(i.name))
}

func claimPath(dir string, index int) string {
	return filepath.Join(dir, strconv.Itoa(index))
}

// take locks an index. Errors: EWOULDBLOCK when a server of the same directory
// of claims has it, EADDRINUSE when one of another directory has.
func take(path string, index int, dataDir string) (*Instance, error) {
	f, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, fmt.Errorf("claim instance %d: %w", index, err)
	}
	socket, err := bindName(index)
	if err != nil {
		// The file stays as it was, unless it is new.
		if info, statErr := f.Stat(); statErr == nil && info.Size() == 0 {
			err = errors.Join(err, os.Remove(path))
		}
		f.Close()
		return nil, fmt.Errorf("claim instance %d: %w", index, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(dataDir+"\n"), 0)
	}
	if err != nil {
		f.Close()
		unix.Close(socket)
		return nil, fmt.Errorf("claim instance %d: %w", index, err)
	}
	return &Instance{Index: index, path: path, lock: f, name: socket}, nil
}

// names is what the names of indexes begin with. Tests have their own.
var names = "@daytona/instance/"

// bindName binds a socket to the name of an index. Servers with different
// runtime directories do not see each other's files, but they share a network
// namespace, where their links would get the same names; abstract sockets
// belong to that namespace too, and to nobody after the process.
func bindName(index int) (int, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: names + strconv.Itoa(index)}); err != nil {
		unix.Close(socket)
		return 0, err
	}
	return socket, nil
}

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
