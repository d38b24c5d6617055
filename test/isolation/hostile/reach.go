package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// connect takes a network and an address.
func connect(args ...string) error {
	c, err := net.DialTimeout(args[0], args[1], 700*time.Millisecond)
	if err == nil {
		c.Close()
	}
	return err
}

// ask takes an address, sends it a datagram, and waits for any answer.
func ask(args ...string) error {
	to, err := net.ResolveUDPAddr("udp", args[0])
	if err != nil {
		return err
	}
	c, err := net.ListenUDP("udp", nil) // a group's members answer from other addresses
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.WriteToUDP([]byte("?"), to); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(700 * time.Millisecond)); err != nil {
		return err
	}
	_, _, err = c.ReadFromUDP(make([]byte, 16))
	return err
}

// listen answers every connection to an address, for others to reach.
func listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fatal(err.Error())
	}
	for {
		c, err := l.Accept()
		if err != nil {
			fatal(err.Error())
		}
		c.Close()
	}
}

// read takes the path of a file on the host and what is in it. It goes by way
// of everything in /proc that leads to a directory, and climbs from there.
func read(args ...string) error {
	path, want := args[0], args[1]
	climb := strings.Repeat("/..", 30)
	ways := []string{"", climb, "/proc/1/root", "/proc/self/root", "/proc/1/cwd" + climb, "/proc/self/cwd" + climb}
	for _, pattern := range []string{"/proc/[0-9]*/fd/*", "/proc/[0-9]*/root", "/proc/[0-9]*/cwd", "/proc/self/task/*/root"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, f := range found {
			ways = append(ways, f, f+climb)
		}
	}
	if wd, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
		ways = append(ways, "/proc/self/fd/"+strconv.Itoa(wd)+climb, strings.TrimPrefix(climb, "/"))
	}
	for _, way := range ways {
		if b, err := readSome(way + path); err == nil && b == want {
			return nil
		}
	}
	return fmt.Errorf("none of %d ways led there", len(ways))
}

func readSome(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	b := make([]byte, 512)
	n, err := unix.Read(fd, b)
	return string(b[:max(n, 0)]), err
}

// readHandle opens a file by its handle, given as type:hex, on every mounted
// filesystem, and compares what is in it. CAP_DAC_READ_SEARCH is said to be
// enough.
func readHandle(args ...string) error {
	kind, text, _ := strings.Cut(args[0], ":")
	number, err := strconv.Atoi(kind)
	if err != nil {
		return err
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var last error
	for line := range strings.Lines(string(mounts)) {
		mount, err := unix.Open(strings.Fields(line)[4], unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		fd, err := unix.OpenByHandleAt(mount, unix.NewFileHandle(int32(number), b), unix.O_RDONLY|unix.O_NONBLOCK)
		unix.Close(mount)
		if err != nil {
			last = err
			continue
		}
		found := make([]byte, 512)
		n, err := unix.Read(fd, found)
		unix.Close(fd)
		if err == nil && string(found[:n]) == args[1] {
			return nil
		}
	}
	return fmt.Errorf("no mount opened it: %w", last)
}

// rewrite writes to a file what is in it.
func rewrite(args ...string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return errAbsent
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 4096)
	n, _ := f.Read(b)
	if n == 0 {
		b, n = []byte("\n"), 1
	}
	_, err = f.WriteAt(b[:n], 0)
	return err
}

// overwrite opens a program to write to it, after it has tried to make the mount
// below it writable.
func overwrite(args ...string) error {
	_ = unix.Mount("", filepath.Dir(args[0]), "", unix.MS_REMOUNT|unix.MS_BIND, "")
	_ = unix.Mount("", filepath.Dir(args[0]), "", unix.MS_REMOUNT, "")
	var last error
	for _, path := range []string{args[0], "/proc/1/root" + args[0]} {
		_ = os.Chmod(path, 0o777)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			return f.Close()
		}
		last = err
	}
	return last
}

// writable lists the files below directories that can be opened for writing.
func writable(dirs []string) {
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
				unix.Close(fd)
				fmt.Println(path)
			}
			return nil
		})
	}
}
