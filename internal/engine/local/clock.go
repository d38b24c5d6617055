package local

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownClock lets what this thread starts have clocks that begin now: the uptime
// of a sandbox is its own, and so the times at which its processes started,
// which the kernel counts from there. The thread must be locked.
func ownClock() error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("make a time namespace: %w", err)
	}
	text := ""
	for name, clock := range map[string]int32{"monotonic": unix.CLOCK_MONOTONIC, "boottime": unix.CLOCK_BOOTTIME} {
		var now unix.Timespec
		if err := unix.ClockGettime(clock, &now); err != nil {
			return err
		}
		// They begin between one second and two, since programs take a 0 for
		// no time: runc, for one, a process that started in the first tick.
		text += fmt.Sprintf("%s %d 0\n", name, 1-now.Sec)
	}
	// A thread has this file below its own number only (time_namespaces(7)).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", unix.Gettid()), []byte(text), 0); err != nil {
		return fmt.Errorf("set the clocks of a time namespace: %w", err)
	}
	return nil
}

// tryOwnClock tells why sandboxes cannot have clocks of their own: a kernel
// without time namespaces, or a server that may not set clocks.
func tryOwnClock() error {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends
		err := ownClock()
		if err == nil {
			err = canStart()
		}
		tried <- err
	}()
	return <-tried
}

// canStart tells whether this thread can start a program in its new clocks.
// Linux before 6.2 refuses it to a child that shares memory with its parent until
// it executes (copy_namespaces in kernel/nsproxy.c), as those of Go do.
func canStart() error {
	_, err := syscall.ForkExec("/no/such/program", nil, nil)
	if errors.Is(err, unix.ENOENT) { // there was a child to say so
		return nil
	}
	return fmt.Errorf("start a program in a time namespace: %w", err)
}
