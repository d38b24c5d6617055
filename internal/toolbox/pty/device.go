package pty

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/identity"
)

// size is that of a terminal, in characters.
type size struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// device is a pseudo-terminal. The agent holds both ends: with the slave open,
// reading the master never fails because no program happens to have it open.
type device struct {
	master *os.File
	slave  int // a plain blocking descriptor for the shell
}

// openDevice makes one that belongs to u, as a login does it, so that programs can
// open it by name.
func openDevice(u identity.User, s size) (*device, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	d := &device{slave: -1}
	if d.slave, err = openSlave(master); err == nil {
		err = d.prepare(u, s)
	}
	if err != nil {
		unix.Close(master)
		d.closeSlave()
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	d.master = os.NewFile(uintptr(master), "terminal")
	return d, nil
}

// openSlave opens the other end by its master. Its name could be another file's.
func openSlave(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, fmt.Errorf("unlock: %w", err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, fmt.Errorf("open the slave: %w", errno)
	}
	return int(fd), nil
}

func (d *device) prepare(u identity.User, s size) error {
	if os.Geteuid() == 0 {
		if err := unix.Fchown(d.slave, int(u.UID), -1); err != nil {
			return fmt.Errorf("give it to user %s: %w", u.Name, err)
		}
		// As login(1) does: others of the group tty may write messages to it.
		if err := unix.Fchmod(d.slave, 0o620); err != nil {
			return fmt.Errorf("set its permissions: %w", err)
		}
	}
	t, err := unix.IoctlGetTermios(d.slave, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read its settings: %w", err)
	}
	t.Iflag |= unix.IUTF8 // erasing removes a character and not a byte
	if err := unix.IoctlSetTermios(d.slave, unix.TCSETS, t); err != nil {
		return fmt.Errorf("set its settings: %w", err)
	}
	return d.resize(s)
}

// resize tells programs by SIGWINCH.
func (d *device) resize(s size) error {
	if err := unix.IoctlSetWinsize(d.slave, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(s.Cols), Row: uint16(s.Rows)}); err != nil {
		return fmt.Errorf("resize the terminal: %w", err)
	}
	return nil
}

// drain passes to sink what programs have written, without waiting for more. A
// program in the background could write for ever: no more than limit is passed.
func (d *device) drain(buf []byte, limit int, sink func([]byte)) {
	raw, err := d.master.SyscallConn()
	if err != nil {
		return
	}
	for limit > 0 {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, failed = unix.Read(int(fd), buf)
			return true
		})
		if errors.Is(failed, unix.EINTR) {
			continue
		}
		if err != nil || failed != nil || n <= 0 {
			return
		}
		sink(buf[:n])
		limit -= n
	}
}

// close hangs up on what still uses the terminal.
func (d *device) close() {
	d.master.Close()
	d.closeSlave()
}

func (d *device) closeSlave() {
	if d.slave >= 0 {
		unix.Close(d.slave)
		d.slave = -1
	}
}
