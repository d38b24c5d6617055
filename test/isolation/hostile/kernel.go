package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// permitted tells whether the kernel went as far as looking at nonsense that it
// was given.
func permitted(e unix.Errno) error {
	switch e {
	case 0, unix.EPERM, unix.EACCES, unix.ENOSYS, unix.ENOTTY:
		if e == 0 {
			return nil
		}
		return e
	}
	return nil
}

func scratch() (string, error) { return os.MkdirTemp("", "hostile-") }

// openDevice takes c or b, a major and a minor number.
func openDevice(args ...string) error {
	major, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	minor, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	kind := map[string]uint32{"c": unix.S_IFCHR, "b": unix.S_IFBLK}[args[0]]
	// A fresh filesystem is ours, and not every one forbids nodes.
	var last error
	for _, kindOf := range []string{"", "tmpfs", "ramfs"} {
		dir, err := scratch()
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if kindOf != "" {
			if err := unix.Mount("none", dir, kindOf, 0, ""); err != nil {
				continue
			}
			defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
		}
		node := filepath.Join(dir, "node")
		if last = unix.Mknod(node, kind|0o600, int(unix.Mkdev(uint32(major), uint32(minor)))); last != nil {
			continue
		}
		fd, err := unix.Open(node, unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if last = err; err == nil {
			return unix.Close(fd)
		}
	}
	return last
}

// loop asks for a free loop device.
func loop(...string) error {
	fd, err := unix.Open("/dev/loop-control", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.IoctlRetInt(fd, unix.LOOP_CTL_GET_FREE)
	return err
}

// raiseLimits takes control groups whose limits to lift, of v1 or v2.
func raiseLimits(groups ...string) error {
	last := fmt.Errorf("no limits in %v", groups)
	for _, g := range groups {
		for file, value := range map[string]string{
			"memory.limit_in_bytes": "-1", "memory.memsw.limit_in_bytes": "-1", "pids.max": "max", "cpu.cfs_quota_us": "-1",
			"memory.max": "max", "cpu.max": "max", "memory.swap.max": "max",
		} {
			f, err := os.OpenFile(filepath.Join(g, file), os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString(value)
				f.Close()
			}
			if err == nil {
				return nil
			}
			if !errors.Is(err, os.ErrNotExist) {
				last = err
			}
		}
	}
	return last
}

// releaseAgent mounts the hierarchies of cgroup v1 anew and rewrites who is
// told of empty groups, a program that the kernel runs (CVE-2022-0492).
func releaseAgent(...string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	dir, err := scratch()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	last := errAbsent
	for line := range strings.Lines(string(b)) {
		controllers := strings.Split(line, ":")[1]
		if controllers == "" {
			continue // v2
		}
		if err := unix.Mount("cgroup", dir, "cgroup", 0, controllers); err != nil {
			last = err
			continue
		}
		for _, d := range []string{dir, "/sys/fs/cgroup/" + controllers} {
			if last = rewrite(filepath.Join(d, "release_agent")); last == nil {
				break
			}
		}
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		if last == nil {
			return nil
		}
	}
	return last
}

func kernelLog(...string) error {
	_, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 4096))
	if err == nil {
		return nil
	}
	if b, readErr := readSome("/proc/kmsg"); readErr == nil && b != "" {
		return nil
	}
	if b, readErr := readSome("/dev/kmsg"); readErr == nil && b != "" {
		return nil
	}
	return err
}

// signal and trace take the host's number of a process.
func signal(args ...string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	return unix.Kill(pid, 0)
}

func trace(args ...string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	return unix.PtraceSeize(pid)
}

// hold stops the sandbox's first process for ever, by tracing it.
func hold() {
	stopFirst()
	for {
		time.Sleep(time.Hour)
	}
}

// stopFirst stops the sandbox's first process for as long as the calling
// goroutine lives.
func stopFirst() {
	runtime.LockOSThread()
	for _, task := range tasks(1) {
		if err := unix.PtraceSeize(task); err != nil {
			fatal(err.Error())
		}
	}
	// All its threads must stop, the answer to whoever started this first.
	fmt.Println("held")
	time.Sleep(200 * time.Millisecond)
	for _, task := range tasks(1) {
		_ = unix.PtraceInterrupt(task)
	}
}

// entangle waits for an answer that only this process could give, by FUSE. A
// kill does not end the wait: the thread holds what the answer would come by.
func entangle() {
	dir, err := scratch()
	if err != nil {
		fatal(err.Error())
	}
	device, err := unix.Open("/dev/fuse", unix.O_RDWR, 0)
	if err == nil {
		err = unix.Mount("entangled", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device))
	}
	if err != nil {
		fatal(err.Error())
	}
	go func() { _ = unix.Access(dir+"/file", unix.R_OK) }()
	question := make([]byte, 64<<10)
	for {
		if _, err := unix.Read(device, question); err != nil {
			fatal(err.Error())
		}
		const header, initialize = 16, 26
		if opcode := binary.NativeEndian.Uint32(question[4:]); opcode != initialize {
			break
		}
		// Its own length, no error, the number of the question; version 7.31.
		answer := make([]byte, header+64)
		binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
		copy(answer[8:], question[8:header])
		binary.NativeEndian.PutUint32(answer[header:], 7)
		binary.NativeEndian.PutUint32(answer[header+4:], 31)
		if _, err := unix.Write(device, answer); err != nil {
			fatal(err.Error())
		}
	}
	fmt.Println("entangled")
	for {
		time.Sleep(time.Hour)
	}
}

func tasks(pid int) (all []int) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		fatal(err.Error())
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// readKey takes the serial number of a key.
func readKey(args ...string) error {
	serial, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	_, err = unix.KeyctlBuffer(unix.KEYCTL_READ, serial, make([]byte, 64), 0)
	return err
}

func loadModule(...string) error {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer f.Close()
	return permitted(errno(unix.FinitModule(int(f.Fd()), "", 0)))
}

func unloadModule(...string) error {
	return permitted(errno(unix.DeleteModule("no_such_module", unix.O_NONBLOCK)))
}

func errno(err error) unix.Errno {
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return 0
}

// call makes a system call whose result, if it is one, is a descriptor to close.
func call(trap, a, b, c, d, e uintptr) unix.Errno {
	fd, _, err := unix.Syscall6(trap, a, b, c, d, e, 0)
	if err == 0 {
		unix.Close(int(fd))
	}
	return err
}

func loadBPF(...string) error {
	// return 0, as a program that traces: those see the whole machine
	program := [2]uint64{0xb7, 0x95}
	license := []byte("GPL\x00")
	var attr [128]byte
	const tracepoint, program2 = 5, 2
	*(*uint32)(unsafe.Pointer(&attr[0])) = tracepoint
	*(*uint32)(unsafe.Pointer(&attr[4])) = program2
	*(*uint64)(unsafe.Pointer(&attr[8])) = uint64(uintptr(unsafe.Pointer(&program[0])))
	*(*uint64)(unsafe.Pointer(&attr[16])) = uint64(uintptr(unsafe.Pointer(&license[0])))
	err := call(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr[0])), 48, 0, 0)
	runtime.KeepAlive(&program)
	runtime.KeepAlive(&license)
	return permitted(err)
}

func listBPF(...string) error {
	var attr [128]byte
	_, _, err := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_NEXT_ID, uintptr(unsafe.Pointer(&attr[0])), 16)
	return permitted(err)
}

func perf(...string) error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func userfaultfd(...string) error {
	return permitted(call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0, 0, 0))
}

func ioUring(...string) error {
	var params [120]byte
	return permitted(call(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params[0])), 0, 0, 0))
}

// subvolume makes one in a directory on btrfs, in both ways, and removes it.
func subvolume(args ...string) error {
	dir, err := unix.Open(args[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	name := fmt.Sprintf("hostile-%d", os.Getpid())
	var last unix.Errno
	for request, at := range map[uintptr]int{0x5000940e: 8, 0x50009418: 56} { // SUBVOL_CREATE, _V2
		var volume [4096]byte
		copy(volume[at:], name)
		_, _, last = unix.Syscall(unix.SYS_IOCTL, uintptr(dir), request, uintptr(unsafe.Pointer(&volume[0])))
		if last == 0 {
			return unix.Rmdir(filepath.Join(args[0], name))
		}
	}
	return last
}

// searchTree reads the metadata of the whole filesystem, other disks' included.
func searchTree(args ...string) error {
	dir, err := unix.Open(args[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var search [4096]byte
	const treeSearch = 0xd0009411
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(dir), treeSearch, uintptr(unsafe.Pointer(&search[0])))
	return permitted(e)
}
