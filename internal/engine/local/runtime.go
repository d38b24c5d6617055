package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ociRuntime is the program that runs containers.
type ociRuntime struct {
	path string
	root string // its state
	// image is the program in a sealed file of memory. runc copies itself into
	// one at every start, so that no container can overwrite the host's
	// (CVE-2019-5736), unless it already runs from one.
	image *os.File
}

func openRuntime(ctx context.Context, path, root string) (ociRuntime, error) {
	r := ociRuntime{path: path, root: root}
	if _, err := probeRuntime(ctx, path); err != nil {
		return r, err
	}
	image, err := sealedCopy(path)
	if err != nil {
		return r, fmt.Errorf("copy the OCI runtime %s: %w", path, err)
	}
	r.image = image
	return r, nil
}

func sealedCopy(path string) (_ *os.File, err error) {
	fd, err := unix.MemfdCreate(filepath.Base(path), unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	image := os.NewFile(uintptr(fd), path)
	defer func() {
		if err != nil {
			image.Close()
		}
	}()
	program, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	if _, err := io.Copy(image, program); err != nil {
		return nil, err
	}
	if err := image.Chmod(0o500); err != nil {
		return nil, err
	}
	_, err = unix.FcntlInt(image.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	return image, err
}

func (r ociRuntime) close() {
	if r.image != nil {
		r.image.Close()
	}
}

func (r ociRuntime) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, fdPath(r.image), append([]string{"--root", r.root}, args...)...)
	cmd.Args[0] = r.path
	// Of the server's environment nothing is meant for it: with NOTIFY_SOCKET it
	// waits until the sandbox says READY=1 to the host's systemd, with LISTEN_FDS
	// it hands down files that are not there.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return cmd
}

// run starts the container in the background, with two files beyond the
// standard ones. It must be called on a locked thread: the runtime is killed
// when that thread, or this process, ends.
func (r ociRuntime) run(ctx context.Context, id, bundle string, files ...*os.File) (pid int, err error) {
	log, pidFile := filepath.Join(bundle, "runtime.log"), filepath.Join(bundle, "pid")
	cmd := r.command(ctx, "--log", log, "--log-format", "json",
		"run", "--detach", "--bundle", bundle, "--pid-file", pidFile, "--preserve-fds", fmt.Sprint(len(files)), id)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return 0, fmt.Errorf("run container: %w", context.Cause(ctx))
		}
		last := lastError(log)
		if last == "" {
			last = "its log tells no error"
		}
		return 0, fmt.Errorf("run container: %w: %s", err, last)
	}
	b, err := os.ReadFile(pidFile)
	if err == nil {
		_, err = fmt.Sscan(string(b), &pid)
	}
	if err != nil {
		return 0, fmt.Errorf("read the container's pid: %w", err)
	}
	return pid, nil
}

// delete removes the runtime's state and what is left of the container; a
// missing one is fine.
func (r ociRuntime) delete(ctx context.Context, id string) error {
	if _, err := os.Stat(filepath.Join(r.root, id)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	out, err := r.command(ctx, "delete", "--force", id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("delete container: %w: %s", err, strings.TrimSpace(string(out)))
	}
	// Runtimes leave a state they cannot read.
	return os.RemoveAll(filepath.Join(r.root, id))
}

// lastError is the last error in the runtime's log, "" for none.
func lastError(log string) string {
	b, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	last := ""
	for line := range strings.Lines(string(b)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && (entry.Level == "error" || entry.Level == "fatal") {
			last = entry.Msg
		}
	}
	return last
}
