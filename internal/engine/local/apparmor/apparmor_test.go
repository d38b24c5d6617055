package apparmor

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheProfileIsForKernelsThatMediateUserNamespaces(t *testing.T) {
	for name, c := range map[string]struct {
		mask string // "" for no file
		want bool
	}{
		"Linux 6.1":        {"", false},
		"Linux 6.12":       {"userns_create\n", true},
		"more is mediated": {"userns_create netns_create\n", true},
		"something else":   {"userns_create_ex\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.mask != "" {
				if err := os.Mkdir(filepath.Join(dir, "namespaces"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "namespaces", "mask"), []byte(c.mask), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := mediatesUserNamespaces(dir); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// caught is a program that a profile of the host attaches to, which forbids it
// to read a file. Without the profile it prints what is in the file.
type caught struct{ program, file string }

const secret = "what the profile forbids"

func catch(t *testing.T) caught {
	if !Enabled() {
		t.Skip("AppArmor is off on this machine")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	c := caught{program: filepath.Join(dir, "cat"), file: filepath.Join(dir, "secret")}
	cat, err := os.ReadFile("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.program, cat, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.file, []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	profile := fmt.Sprintf("profile %s %s {\n  file,\n  deny %s r,\n}\n", filepath.Base(t.Name()), c.program, c.file)
	for _, flag := range []string{"--replace", "--remove"} {
		load := func() {
			cmd := exec.Command(parser, flag, "--skip-cache")
			cmd.Stdin = strings.NewReader(profile)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
		if flag == "--remove" {
			t.Cleanup(load)
		} else {
			load()
		}
	}
	if _, err := c.run(nil); err == nil {
		t.Fatal("control: the profile does not catch the program outside of the namespace")
	}
	return c
}

// run runs it on a thread of its own, after set.
func (c caught) run(set func() error) (string, error) {
	return onThread(set, c.program, c.file)
}

func onThread(set func() error, command ...string) (text string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if set != nil {
			if err = set(); err != nil {
				return
			}
		}
		var out []byte
		out, err = exec.Command(command[0], command[1:]...).CombinedOutput()
		text = string(out)
	}()
	<-done
	return text, err
}

func openNamespace(t *testing.T) *Namespace {
	n, err := Open(fmt.Sprintf("daytona-test-%d", os.Getpid()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(n.dir()); err == nil {
			t.Error("the namespace is left")
		}
	})
	return n
}

func TestAProfileOfTheHostDoesNotCatchProgramsInside(t *testing.T) {
	c := catch(t)
	n := openNamespace(t)
	if out, err := c.run(n.Enter); err != nil || out != secret {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := c.run(nil); err == nil {
		t.Error("the thread of another program was moved, too")
	}
}

// The kernel's stricter setting, which Ubuntu has since 25.04, is why the
// server enters the namespace and not the sandbox's root.
func TestNoProfileOfTheHostIsKeptWhereUnconfinedMayNotChange(t *testing.T) {
	c := catch(t)
	n := openNamespace(t)
	const setting = "/proc/sys/kernel/apparmor_restrict_unprivileged_unconfined"
	before, err := os.ReadFile(setting)
	if err != nil {
		t.Skip("this kernel has no such setting")
	}
	t.Cleanup(func() {
		if err := os.WriteFile(setting, before, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(setting, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if out, err := c.run(n.Enter); err != nil || out != secret {
		t.Errorf("entered by the server: %v: %s", err, out)
	}
	// The first program is not caught, those that it starts are.
	inside := fmt.Sprintf("printf 'exec %s' >/proc/self/attr/apparmor/exec; exec sh -c 'exec %s %s'", n.label, c.program, c.file)
	if out, err := onThread(nil, "unshare", "--user", "--map-root-user", "sh", "-c", inside); err == nil {
		t.Errorf("control: entered by the root of a user namespace, the program was not caught: %s", out)
	}
}

func TestNothingInsideCanNameAProfileOfTheHost(t *testing.T) {
	catch(t)
	n := openNamespace(t)
	enter := fmt.Sprintf("printf 'exec %s' >/proc/self/attr/apparmor/exec", t.Name())
	if out, err := onThread(nil, "sh", "-c", enter); err != nil {
		t.Errorf("control, outside: %v: %s", err, out)
	}
	if out, err := onThread(n.Enter, "sh", "-c", enter); err == nil {
		t.Errorf("inside: %s", out)
	}
}

func TestWhatRunsInsideGoesOnWhenTheNamespaceIsTakenOver(t *testing.T) {
	c := catch(t)
	n := openNamespace(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	type result struct {
		text string
		err  error
	}
	done := make(chan result)
	var child *exec.Cmd
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := n.Enter(); err != nil {
			started <- err
			return
		}
		child = exec.Command("sh", "-c", "read line; exec "+c.program+" "+c.file)
		child.Stdin = r
		out := &strings.Builder{}
		child.Stdout, child.Stderr = out, out
		started <- child.Start()
		err := child.Wait()
		done <- result{out.String(), err}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	again, err := Open(n.name, n.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(child.Process.Pid, 0); err != nil {
		t.Error(err)
	}
	fmt.Fprintln(w, "go")
	w.Close()
	if got := <-done; got.err != nil || got.text != secret {
		t.Errorf("%v: %s", got.err, got.text)
	}
	if out, err := c.run(again.Enter); err != nil || out != secret {
		t.Errorf("%v: %s", err, out)
	}
}

func TestARemovedNamespaceIsMadeAgain(t *testing.T) {
	c := catch(t)
	n := openNamespace(t)
	if err := n.Remove(); err != nil {
		t.Fatal(err)
	}
	if out, err := c.run(n.Enter); err != nil || out != secret {
		t.Errorf("%v: %s", err, out)
	}
}
