// Package isolation runs hostile programs in sandboxes and build steps of a
// real server, as root there, and looks from outside at whether they got
// anywhere. Each attempt runs on the host first, where it must work, so that it
// fails inside for the right reason. The attempts are in hostile/. It needs root.
package isolation

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// hostile is the program with the attempts, for the host and for sandboxes.
var hostile string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "isolation-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "isolation:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		if hostile, err = serve.Program(dir, "hostile", "./hostile"); err != nil {
			fmt.Fprintln(os.Stderr, "isolation:", err)
			return 1
		}
		return serve.Main(m)
	}())
}

// attempt is something that must work on the host and nowhere else.
type attempt struct {
	name   string
	args   []string
	onHost []string // in place of args there
}

// outcomes are what became of attempts, by their number.
type outcomes map[int]string

func list(t *testing.T, attempts []attempt, host bool) string {
	t.Helper()
	var all [][]string
	for _, a := range attempts {
		args := a.args
		if host && a.onHost != nil {
			args = a.onHost
		}
		all = append(all, args)
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parse reads what hostile all said.
func parse(text string) outcomes {
	o := outcomes{}
	for line := range strings.Lines(text) {
		_, rest, found := strings.Cut(line, "HOSTILE|")
		fields := strings.SplitN(strings.TrimSpace(rest), "|", 2)
		if !found || len(fields) < 2 {
			continue
		}
		if n, err := strconv.Atoi(fields[0]); err == nil {
			o[n] = fields[1]
		}
	}
	return o
}

// work makes sure that the attempts work on the host. It returns those that
// this machine has.
func work(t *testing.T, attempts []attempt) (there []attempt) {
	t.Helper()
	out, err := exec.CommandContext(serve.Within(t, time.Minute), hostile, "all", list(t, attempts, true)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := parse(string(out))
	for i, a := range attempts {
		switch {
		case strings.HasPrefix(o[i], "worked"):
			there = append(there, a)
		case strings.HasPrefix(o[i], "absent"):
			t.Logf("%s: not on this machine: %s", a.name, o[i])
		default:
			t.Errorf("%s: it does not work on the host, so its failure inside says nothing: %s", a.name, o[i])
		}
	}
	return there
}

// fail makes sure that each attempt was made and refused.
func fail(t *testing.T, where string, attempts []attempt, said string) {
	t.Helper()
	o := parse(said)
	for i, a := range attempts {
		if !strings.HasPrefix(o[i], "refused") && !strings.HasPrefix(o[i], "absent") {
			t.Errorf("%s, %s: %q", where, a.name, o[i])
		}
	}
	if t.Failed() {
		t.Logf("%s said:\n%s", where, said)
	}
}

// box creates a sandbox, as root, with the attempts in /hostile.
func box(s *serve.Server, snapshot string) *daytona.Sandbox {
	s.T.Helper()
	b, err := s.Client.Create(s.T.Context(), daytona.CreateParams{Snapshot: snapshot, User: "root"})
	if err != nil {
		s.T.Fatal(err)
	}
	program, err := os.ReadFile(hostile)
	if err != nil {
		s.T.Fatal(err)
	}
	if err := b.FileSystem.UploadFile(s.T.Context(), program, "/hostile"); err != nil {
		s.T.Fatal(err)
	}
	run(s.T, b, "chmod 755 /hostile; test $(id -u) = 0")
	return b
}

// run runs a command that must succeed, within a bound.
func run(t *testing.T, b *daytona.Sandbox, command string) string {
	t.Helper()
	answer, err := b.Process.ExecuteCommand(serve.Within(t, time.Minute), command, daytona.ExecuteOptions{})
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if answer.ExitCode != 0 {
		t.Fatalf("%s: exit code %d: %s", command, answer.ExitCode, answer.Result)
	}
	return answer.Result
}

// machine is what must be the same before and after.
func machine(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, path := range []string{"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/hostname", "/etc/passwd"} {
		b, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		state[path] = string(b)
	}
	agents, err := filepath.Glob("/sys/fs/cgroup/*/release_agent")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range agents {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		state[path] = string(b)
	}
	return state
}

// groups are the control groups of a sandbox and their limits.
func groups(t *testing.T, id string) map[string]string {
	t.Helper()
	limits := map[string]string{}
	for _, file := range cgrouptest.LimitFiles {
		for _, f := range cgrouptest.Glob(t, filepath.Join("daytona*", id, file)) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			limits[f] = string(b)
		}
	}
	if len(limits) == 0 {
		t.Fatal("the sandbox has no limits")
	}
	return limits
}

// ownGroups are control groups for the host to lift the limits of.
func ownGroups(t *testing.T) (all []string) {
	t.Helper()
	for _, parent := range cgrouptest.Trees(t) {
		g := filepath.Join(parent, fmt.Sprintf("isolation-%d", os.Getpid()))
		if err := os.Mkdir(g, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Rmdir(g) })
		all = append(all, g)
	}
	if len(all) == 0 {
		t.Fatal("this machine has no control groups")
	}
	return all
}

// disk is the block device with a server's disks.
func disk(t *testing.T, s *serve.Server) (major, minor string) {
	t.Helper()
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(b), s.Data+"/") {
			continue // another's, which may just have gone
		}
		number, err := os.ReadFile(filepath.Join(filepath.Dir(f), "../dev"))
		if err != nil {
			t.Fatal(err)
		}
		major, minor, _ = strings.Cut(strings.TrimSpace(string(number)), ":")
		return major, minor
	}
	t.Fatal("the server has no loop device")
	return "", ""
}
