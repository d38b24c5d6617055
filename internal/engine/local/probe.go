package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/agent"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// Whether a machine can run sandboxes is known when one has run: kernels,
// runtimes and service managers refuse in more ways than can be looked for.
// The probe is a sandbox, and a step of a build, on a root of one program.

const (
	probeID    = "machine-check" // of the sandbox
	probeStep  = "machine-check-step"
	probeImage = "machine-check" // a digest that no image has
	probeDir   = "machine-check" // of the data directory, while it runs

	// ProbeTime is what a probe takes at most, whatever hangs.
	ProbeTime = time.Minute
)

// errProbeTime ends a probe.
var errProbeTime = fmt.Errorf("the check took more than %s", ProbeTime)

var probeResources = engine.Resources{CPU: 0.5, Memory: 128 << 20, Disk: 64 << 20, PIDs: 256}

// Probe starts a sandbox and a build step by the way that all others are started
// and tells what came of each part, up to the one without which the next cannot
// be. What an earlier probe left behind is freed first, and this one's at the
// end. Only one may run at a time.
func (l *Local) Probe(ctx context.Context) []Requirement {
	ctx, cancel := context.WithTimeoutCause(ctx, ProbeTime, errProbeTime)
	defer cancel()
	p := &probe{Local: l, dir: filepath.Join(l.DataDir, probeDir)}
	p.try(ctx, "sandbox disk", p.disk)
	if p.failed() {
		return append(p.all, p.removal(ctx))
	}
	p.try(ctx, "sandbox start", p.start)
	if p.hangs {
		return append(p.all, p.removal(ctx)) // and so would a step
	}
	if !p.failed() {
		p.try(ctx, "sandbox agent", p.agent)
		if !p.failed() {
			p.try(ctx, "sandbox command", p.command)
		}
		p.try(ctx, "sandbox limits", p.limits)
		if p.report != nil {
			p.try(ctx, "sandbox network", p.network)
		}
	}
	p.try(ctx, "build step", p.step)
	return append(p.all, p.removal(ctx))
}

// probe is one run of Probe.
type probe struct {
	*Local
	dir    string // for what the root is made of
	all    []Requirement
	hangs  bool         // the start did not end by itself
	report *boot.Report // of the program in the sandbox
}

// failed tells whether the last part did.
func (p *probe) failed() bool { return !p.all[len(p.all)-1].OK }

// try does one part, unless the time is over.
func (p *probe) try(ctx context.Context, name string, part func(context.Context) (string, error)) {
	if ctx.Err() != nil && len(p.all) > 0 && p.failed() {
		return // for the same reason
	}
	said, err := part(ctx)
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	p.all = append(p.all, p.outcome(name, said, err))
}

func (p *probe) outcome(name, said string, err error) Requirement {
	r := Requirement{Name: name, OK: err == nil, Detail: said}
	if err != nil {
		r.Detail = p.explain(err)
	}
	// What a machine is short of now says nothing of the machine.
	if errors.Is(err, engine.ErrNoSpace) || errors.Is(err, engine.ErrNoSlot) {
		r.Optional, r.Urgent = true, true
	}
	return r
}

func (p *probe) spec() engine.Spec {
	return engine.Spec{
		ID: probeID, Hostname: probeID, Image: probeImage, Resources: probeResources, Network: engine.Network{BlockAll: true},
	}
}

// probeRoot is the image of the probe.
func (l *Local) probeRoot() *image.Image {
	return &image.Image{
		Digest: probeImage, DefaultUser: "root",
		Layers: []string{filepath.Join(l.DataDir, probeDir, "top"), filepath.Join(l.DataDir, probeDir, "base")},
	}
}

// probeProgram is where the root has the agent's program, and its only shell is
// a script for that.
const probeProgram = "/bin/toolbox"

func (p *probe) disk(ctx context.Context) (string, error) {
	if err := p.clean(ctx); err != nil {
		return "", fmt.Errorf("free what an earlier check left: %w", err)
	}
	program, err := agent.Binary()
	if err != nil {
		return "", err
	}
	for _, dir := range []string{"", "base", "base/bin", "base/etc", "base/root", "top", "top/etc", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range map[string][]byte{
		"base/bin/toolbox": program,
		"base/bin/sh":      []byte("#!" + probeProgram + " " + boot.Probe + "\n"),
		"top/etc/passwd":   []byte("root:x:0:0:root:/root:/bin/sh\n"),
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o755); err != nil {
			return "", err
		}
	}
	if err := p.Create(ctx, p.spec()); err != nil {
		return "", err
	}
	return "on " + p.disks.Kind(), nil
}

func (p *probe) start(ctx context.Context) (string, error) {
	began := time.Now()
	if err := p.Start(ctx, p.spec()); err != nil {
		p.hangs = errors.Is(err, engine.ErrStartTimeout)
		return "", err
	}
	return fmt.Sprintf("on idmapped layers, after %d ms", time.Since(began).Milliseconds()), nil
}

// ask sends a request to the agent of the sandbox.
func (p *probe) ask(ctx context.Context, method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx, probeID) },
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the agent answers %d: %s", res.StatusCode, bytes.TrimSpace(text))
	}
	return json.Unmarshal(text, answer)
}

func (p *probe) agent(ctx context.Context) (string, error) {
	var version struct{ Version string }
	began := time.Now()
	if err := p.ask(ctx, http.MethodGet, "/version", nil, &version); err != nil {
		return "", fmt.Errorf("ask the agent: %w", err)
	}
	if version.Version != p.Version {
		return "", fmt.Errorf("the agent is told version %q of the server, not %q", version.Version, p.Version)
	}
	return fmt.Sprintf("answered after %d ms", time.Since(began).Milliseconds()), nil
}

func (p *probe) command(ctx context.Context) (string, error) {
	var ran struct {
		ExitCode int
		Result   string
	}
	if err := p.ask(ctx, http.MethodPost, "/process/execute", map[string]string{"command": "the shell takes no command"}, &ran); err != nil {
		return "", fmt.Errorf("run a command: %w", err)
	}
	r, err := readReport(ran.ExitCode, ran.Result)
	if err != nil {
		return "", err
	}
	if r.OpenFiles < p.openFiles() {
		return "", fmt.Errorf("run a command: it may open %d files, not %d", r.OpenFiles, p.openFiles())
	}
	p.report = r
	return "runs as root of the sandbox, and writes to its disk", nil
}

// readReport reads what the program inside printed.
func readReport(code int, text string) (*boot.Report, error) {
	var r boot.Report
	if err := json.Unmarshal([]byte(text), &r); code != 0 || err != nil {
		return nil, fmt.Errorf("run a program inside: exit code %d: %s", code, strings.TrimSpace(text))
	}
	if len(r.Failed) > 0 {
		return nil, fmt.Errorf("run a program inside: it could not %s", strings.Join(r.Failed, "; "))
	}
	if r.UID != 0 || r.GID != 0 {
		return nil, fmt.Errorf("run a program inside: it runs as user %d of group %d, not as root", r.UID, r.GID)
	}
	return &r, nil
}

// limits reads what the kernel has been told.
func (p *probe) limits(context.Context) (string, error) {
	if len(p.cgroups.Processes(probeID)) == 0 {
		return "", errors.New("no process is in the sandbox's control group: nothing limits them")
	}
	want := probeResources
	for _, limit := range []struct {
		of        string
		has, want float64
	}{
		{"memory", float64(p.cgroups.MemoryLimit(probeID)), float64(want.Memory)},
		{"cpu", p.cgroups.CPULimit(probeID), want.CPU},
		{"pids", float64(p.cgroups.PIDsLimit(probeID)), float64(want.PIDs)},
	} {
		if limit.has != limit.want {
			return "", fmt.Errorf("the %s controller limits to %v, not %v", limit.of, limit.has, limit.want)
		}
	}
	return "on CPU, memory and processes are in force", nil
}

func (p *probe) network(context.Context) (string, error) {
	p.mu.Lock()
	c := p.running[probeID]
	p.mu.Unlock()
	if c == nil {
		return "", fmt.Errorf("the sandbox has ended: %w", engine.ErrNotRunning)
	}
	guest := p.slots.Adopt(c.Slot, c.IPv6).Guest.String()
	has := func(address string) bool { return strings.HasPrefix(address, guest+"/") }
	if !slices.ContainsFunc(p.report.Addresses, has) {
		return "", fmt.Errorf("the sandbox has the addresses %v, without its own, %s", p.report.Addresses, guest)
	}
	return "an address of its own, behind the packet filter", nil
}

func (p *probe) step(ctx context.Context) (string, error) {
	root := p.probeRoot()
	upper := filepath.Join(p.dir, "upper")
	var out, problems bytes.Buffer
	code, err := p.RunStep(ctx, engine.Step{
		ID: probeStep, Hostname: probeStep,
		Root:    engine.Tree{Layers: root.Layers, Upper: upper, Work: filepath.Join(p.dir, "work")},
		Prepare: func(string) (engine.StepUser, func(), error) { return engine.StepUser{}, func() {}, nil },
		Args:    []string{probeProgram, boot.Probe}, Cwd: "/",
		Stdin: bytes.NewReader(nil), Stdout: &out, Stderr: &problems,
		Resources: probeResources, Network: engine.Network{BlockAll: true},
	})
	if err != nil {
		return "", err
	}
	if _, err := readReport(code, out.String()+problems.String()); err != nil {
		return "", err
	}
	// On disk the ids are the container's own.
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(upper, boot.ProbeFile), &st); err != nil {
		return "", fmt.Errorf("find what the step wrote: %w", err)
	}
	if st.Uid != 0 {
		return "", fmt.Errorf("what the step's root wrote belongs to user %d on the disk, not to 0", st.Uid)
	}
	return "runs, and what it writes is kept", nil
}

// removal frees all, however the probe went.
func (p *probe) removal(ctx context.Context) Requirement {
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := p.clean(cleanup)
	if left := p.cgroups.List(); err == nil && (slices.Contains(left, probeID) || slices.Contains(left, probeStep)) {
		err = errors.New("its control group is still there")
	}
	return p.outcome("sandbox removal", "leaves nothing behind", err)
}

func (p *probe) clean(ctx context.Context) error {
	trust := filepath.Join(p.Local.dir, trustDir, probeImage)
	return errors.Join(p.Delete(ctx, probeID), os.RemoveAll(p.dir), os.RemoveAll(trust))
}

// Surroundings names what decides whether sandboxes run here: when it is the
// same as at the last successful Probe, there is no need for another.
func (l *Local) Surroundings() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read the kernel's version: %w", err)
	}
	program, err := os.Stat(l.runtime.path)
	if err != nil {
		return "", fmt.Errorf("look at the OCI runtime: %w", err)
	}
	return fmt.Sprintf("server %s\nkernel %s %s\ncgroups %s\nruntime %s of %d bytes, %s\nruntime directory %s\n",
		l.Version, unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]), cgroup.Version(),
		l.runtime.path, program.Size(), program.ModTime().UTC().Format(time.RFC3339Nano), l.RuntimeDir), nil
}
