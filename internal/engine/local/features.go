package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/opendaytona/daytona/internal/engine/local/cgroup"
)

// runtimeFacts are what an OCI runtime says of itself.
type runtimeFacts struct {
	version  string // the first line of --version
	runHelp  string
	features *features.Features // nil where it has no such command
}

// errRuntime says that the OCI runtime is of no use here, and what to do.
var errRuntime = errors.New("the OCI runtime")

// probeRuntime asks the OCI runtime at path what it is and fails when it cannot
// run sandboxes on this machine.
func probeRuntime(ctx context.Context, path string) (runtimeFacts, error) {
	f, err := askRuntime(ctx, path)
	if err == nil {
		err = f.suits()
	}
	if err == nil {
		err = cgroup.CheckRuntime(f.version, f.cgroups())
	}
	if err != nil {
		return f, fmt.Errorf("%w %s: %w", errRuntime, path, err)
	}
	return f, nil
}

// runtimePatience is how long a runtime may take to tell of itself, on a machine
// that boots and has much else to do.
const runtimePatience = time.Minute

func askRuntime(ctx context.Context, path string) (f runtimeFacts, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runtimePatience, fmt.Errorf("it did not answer within %s", runtimePatience))
	defer cancel()
	ask := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.WaitDelay = time.Second // for what it started
		return cmd
	}
	out, err := ask("--version").CombinedOutput()
	if err != nil {
		return f, fmt.Errorf("run it with --version: %w: %s", cmp.Or(context.Cause(ctx), err), strings.TrimSpace(string(out)))
	}
	f.version, _, _ = strings.Cut(string(out), "\n")
	if out, err = ask("run", "--help").CombinedOutput(); err != nil {
		return f, fmt.Errorf("run it with run --help: %w: %s", cmp.Or(context.Cause(ctx), err), strings.TrimSpace(string(out)))
	}
	f.runHelp = string(out)
	// The command is younger than runtimes that do well without it.
	out, err = ask("features").Output()
	if ctx.Err() != nil {
		return f, fmt.Errorf("run it with features: %w", context.Cause(ctx))
	}
	var known features.Features
	if err == nil && json.Unmarshal(out, &known) == nil {
		f.features = &known
	}
	return f, nil
}

// runFlags are the flags of the runtime's command run that not every runtime
// has which takes the same files: runc has them from 1.1 on, crun from 1.15.
var runFlags = []struct{ name, without string }{
	{"--preserve-fds", "hand files down to sandboxes"},
	{"--keep", "tell why a build step was killed"},
}

// cgroups is what the runtime knows of control groups, nil where it does not say.
func (f runtimeFacts) cgroups() *features.Cgroup {
	if f.features == nil || f.features.Linux == nil {
		return nil
	}
	return f.features.Linux.Cgroup
}

// suits says why the runtime cannot run sandboxes on any machine.
func (f runtimeFacts) suits() error {
	for _, flag := range runFlags {
		if !strings.Contains(f.runHelp, flag.name) {
			return fmt.Errorf("%q cannot %s (run %s): use runc 1.1 or newer, or crun 1.15 or newer", f.version, flag.without, flag.name)
		}
	}
	if f.features == nil || f.features.Linux == nil {
		return nil
	}
	linux := f.features.Linux
	for _, ns := range namespaces {
		if len(linux.Namespaces) > 0 && !slices.Contains(linux.Namespaces, string(ns)) {
			return fmt.Errorf("it knows no %s namespaces: use runc or crun", ns)
		}
	}
	if s := linux.Seccomp; s != nil && s.Enabled != nil && !*s.Enabled {
		return errors.New("it was built without seccomp, which guards the kernel from sandboxes: use one of your distribution")
	}
	return nil
}

// namespaces are those of every sandbox.
var namespaces = []specs.LinuxNamespaceType{
	specs.UserNamespace, specs.NetworkNamespace, specs.PIDNamespace, specs.MountNamespace,
	specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace,
}
