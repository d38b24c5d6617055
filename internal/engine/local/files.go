package local

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mayLimit tells whether this process, and the OCI runtime with it, may set
// limits of processes in a user namespace that another user made. Without
// CAP_SYS_RESOURCE, as in most containers, it may not.
func mayLimit() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// A process of a sandbox may open this many files, and as many when it raises
// its limit, where the machine allows it.
const (
	softFiles = 1 << 16
	hardFiles = 1 << 20
)

// openFiles is what a process may open unless it raises its limit.
func (l *Local) openFiles() uint64 { return min(softFiles, l.files) }

// raiseFiles lifts the hard limit on open files, which nobody can in a user
// namespace, to what container engines ask for, and returns it. Without
// CAP_SYS_RESOURCE, or above fs.nr_open, the limit stays as it is.
func raiseFiles() (uint64, error) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return 0, fmt.Errorf("read the limit on open files: %w", err)
	}
	want := uint64(hardFiles)
	if most, err := readNumber(nrOpen); err == nil {
		want = min(want, most)
	}
	if now.Max < want {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: now.Cur, Max: want}); err != nil {
			return now.Max, nil
		}
	}
	return want, nil
}

// checkFiles tells how many files a process of a sandbox may open.
func checkFiles() Requirement {
	files, err := raiseFiles()
	if err != nil {
		return Requirement{Name: "open files", Detail: err.Error()}
	}
	return filesRequirement(files)
}

func filesRequirement(files uint64) Requirement {
	r := Requirement{Name: "open files", OK: files >= softFiles, Optional: true, Urgent: true}
	r.Detail = fmt.Sprintf("%d for a process of a sandbox, which it may raise to %d", min(softFiles, files), files)
	if !r.OK {
		r.Detail = fmt.Sprintf("a process of a sandbox may open %d files only, not %d: raise the server's own limit (LimitNOFILE=%d in its unit, ulimit -Hn %d in a shell) and fs.nr_open", files, softFiles, hardFiles, hardFiles)
	}
	return r
}

// nrOpen is the most that anybody's limit can be (proc_sys_fs(5)).
const nrOpen = "/proc/sys/fs/nr_open"

func readNumber(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// fileMax is how many files may be open on the whole machine (proc_sys_fs(5)).
const fileMax = "/proc/sys/fs/file-max"

// raiseFileMax lifts the limit on all open files of the machine, as systemd
// does too: the kernel counts each to the memory of the sandbox that has it
// open, which is limited, while a limit for all lets one sandbox take the files
// of the others.
func (l *Local) raiseFileMax() error {
	b, err := os.ReadFile(fileMax)
	if err != nil {
		return fmt.Errorf("read the machine's limit on open files: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n >= math.MaxInt64 {
		return nil
	}
	err = os.WriteFile(fileMax, []byte(strconv.FormatInt(math.MaxInt64, 10)), 0)
	if errors.Is(err, os.ErrPermission) {
		l.Log.Warn("one sandbox can use up the open files of the whole machine", "fs.file-max", text, "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("lift the machine's limit on open files: %w", err)
	}
	l.Log.Info("lifted the machine's limit on open files; sandboxes have theirs", "fs.file-max", text)
	return nil
}
