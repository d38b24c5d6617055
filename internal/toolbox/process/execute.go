package process

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type executeRequest struct {
	Command string            `json:"command"`
	Cwd     string            `json:"cwd"`
	Envs    map[string]string `json:"envs"`
	Timeout *int64            `json:"timeout"`
}

// execute runs a command line in a shell of its own and answers once that shell
// has ended. A process left in the background goes on; see capture.Grace.
func (s *Service) execute(w http.ResponseWriter, r *http.Request) error {
	var req executeRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(req.Command) == "":
		return wire.Bad("command is missing")
	case strings.ContainsRune(req.Command, 0):
		return wire.Bad("the command contains a NUL byte")
	}
	timeout, err := seconds(req.Timeout)
	if err != nil {
		return err
	}
	shell, err := s.launcher.Shell()
	if err != nil {
		return err
	}
	var output spool.Buffer
	defer output.Close()
	job := run{command: launch.Command{Env: req.Envs, Dir: req.Cwd}, stdin: -1, timeout: timeout, output: &output}
	text := req.Command
	if len(text) > maxArgument {
		script, err := scriptFile(text)
		if err != nil {
			return err
		}
		job.extra = []int{script}
		text = ". /proc/self/fd/3"
	}
	job.command.Argv = []string{shell, "-c", text}
	code, err := s.start(r.Context(), job)
	if err != nil {
		return err
	}
	answer(w, code, output.Seal(), nil)
	return nil
}

// maxArgument is the longest argument of a program: the kernel's MAX_ARG_STRLEN,
// 32 pages of 4 KiB with a NUL byte at the end (execve(2)).
const maxArgument = 32*4096 - 1

// scriptFile puts a command into a file of memory, which the shell reads in place
// of an argument. It becomes descriptor 3 and is closed by its own first words:
// the shell has opened it anew by then, and what the command starts does not
// inherit it.
func scriptFile(text string) (int, error) {
	fd, err := unix.MemfdCreate("command", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("make a file for the command: %w", err)
	}
	f := os.NewFile(uintptr(fd), "command")
	defer f.Close()
	if _, err := io.WriteString(f, "exec 3<&-;"+text); err != nil {
		return -1, fmt.Errorf("write the command: %w", err)
	}
	// The shell opens it by its name in /proc, with its user's rights.
	if err := f.Chmod(0o444); err != nil {
		return -1, fmt.Errorf("write the command: %w", err)
	}
	const sealed = unix.F_SEAL_SEAL | unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, sealed); err != nil {
		return -1, fmt.Errorf("seal the command: %w", err)
	}
	script, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("keep the command: %w", err)
	}
	return script, nil
}
