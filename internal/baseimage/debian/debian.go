// Package debian makes root filesystems of Debian's packages by mmdebstrap, as
// this machine's apt reaches them. It imports no other package of the project; package
// baseimage makes an image of one, and the fixtures of the tests others.
package debian

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
)

// Root says what to make.
type Root struct {
	Suite    string   // "trixie"
	Packages []string // beside those that Debian calls required, and apt
	// Hooks are shell commands that run at the end with the root's path as $1.
	Hooks    []string
	Progress func(line string) // nil for none
}

// Errors of Make.
var (
	ErrNoTool = errors.New("mmdebstrap is not installed: apt install mmdebstrap")
)

// left out of images: nobody reads manuals in a sandbox. Licences stay.
var leftOut = []string{
	"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*",
	"path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
}

// Make writes the root filesystem to the file tar. Everything temporary is in
// tar's directory. It needs root; processes and mounts end with ctx, and with
// this process. Errors: ErrNoTool; the last lines of the tool's output.
func Make(ctx context.Context, r Root, tar string) error {
	path, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return fmt.Errorf("make a root of Debian %s: %w", r.Suite, ErrNoTool)
	}
	args := []string{"--mode=root", "--variant=minbase", "--format=tar", "--include=" + strings.Join(r.Packages, ",")}
	if _, err := os.Stat(keyring); err == nil {
		args = append(args, "--keyring="+keyring)
	}
	for _, o := range append([]string{`Acquire::Retries "3"`}, aptNetwork(ctx)...) {
		args = append(args, "--aptopt="+o)
	}
	for _, o := range leftOut {
		args = append(args, "--dpkgopt="+o)
	}
	for _, h := range r.Hooks {
		args = append(args, "--customize-hook="+h)
	}
	args = append(args, r.Suite, tar)
	args = append(args, sources("/etc/apt", r.Suite)...)

	done := make(chan error, 1)
	go func() {
		// The signal of Pdeathsig comes at the end of the thread.
		runtime.LockOSThread()
		done <- run(ctx, path, args, filepath.Dir(tar), r.Progress)
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("make a root of Debian %s: %w", r.Suite, err)
	}
	return nil
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

func run(ctx context.Context, path string, args []string, dir string, progress func(string)) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "SOURCE_DATE_EPOCH=1735689600", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	// Its processes and its mounts end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	last := make(chan string, 1)
	go func() { last <- follow(out, progress) }()
	err := cmd.Run()
	in.Close()
	said := <-last
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w: %s", err, said)
	}
	return nil
}

// follow passes lines on and returns the last ones.
func follow(r io.Reader, progress func(string)) string {
	const keep = 5
	var last []string
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			continue
		}
		if progress != nil {
			progress(line)
		}
		if last = append(last, line); len(last) > keep {
			last = last[1:]
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line that is too long must not stop the tool
	return strings.Join(last, " | ")
}

// aptNetwork are the machine's settings of proxies and the like.
func aptNetwork(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "--format", "%f \"%v\"%n").Output()
	if err != nil {
		return nil // not a Debian
	}
	var options []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"Acquire::http::", "Acquire::https::", "Acquire::ftp::"} {
			if strings.HasPrefix(line, prefix) && !strings.HasSuffix(line, `""`) {
				options = append(options, line)
			}
		}
	}
	return options
}

var (
	archive  = regexp.MustCompile(`\bhttps?://[^\s\]]+/debian/?(?:\s|$)`)
	security = regexp.MustCompile(`\bhttps?://[^\s\]]+/debian-security/?(?:\s|$)`)
)

// sources are apt's lines for the suite: from the archives that the machine
// uses, when it is a Debian, else from Debian's own.
func sources(etc, suite string) []string {
	main, updates := "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"
	var text strings.Builder
	for _, pattern := range []string{"sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"} {
		files, _ := filepath.Glob(filepath.Join(etc, pattern)) // the patterns are good
		for _, f := range files {
			b, _ := os.ReadFile(f)
			for line := range strings.Lines(string(b)) {
				if !strings.HasPrefix(strings.TrimSpace(line), "#") {
					text.WriteString(line)
				}
			}
			text.WriteByte('\n')
		}
	}
	lines := []string{}
	if own := archive.FindString(text.String()); own != "" {
		main, updates = strings.TrimSpace(own), strings.TrimSpace(security.FindString(text.String()))
	}
	lines = append(lines, "deb "+main+" "+suite+" main", "deb "+main+" "+suite+"-updates main")
	if updates != "" {
		lines = append(lines, "deb "+updates+" "+suite+"-security main")
	}
	return lines
}
