package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	"github.com/opendaytona/daytona/internal/engine/local/instance"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// traces are what an engine leaves on a machine while it is open, but for what
// belongs to engines that are open now: those of other tests and servers.
func traces(t *testing.T) (all []string) {
	t.Helper()
	add := func(kind string, names ...string) {
		for _, n := range names {
			all = append(all, kind+" "+n)
		}
	}
	opened := openInstances(t)
	defer func() {
		opened = append(opened, openInstances(t)...)
		all = slices.DeleteFunc(all, func(trace string) bool {
			of := ofInstance.FindStringSubmatch(trace)
			return of != nil && slices.Contains(opened, of[1])
		})
	}()
	groups := cgrouptest.Glob(t, "daytona*")
	claims, claimsErr := os.ReadDir(filepath.Join(DefaultRuntimeDir, "instances"))
	for _, c := range claims {
		add("claim", c.Name())
	}
	links, linksErr := netlink.LinkList()
	for _, l := range links {
		if name := l.Attrs().Name; ofInstance.MatchString("link " + name) { // others are other tests'
			add("link", name)
		}
	}
	c, tablesErr := nftables.New()
	if tablesErr == nil {
		var tables []*nftables.Table
		tables, tablesErr = c.ListTables()
		for _, table := range tables {
			add("table", fmt.Sprint(table.Family, table.Name))
		}
	}
	mounts, mountsErr := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, trialDir) {
			add("mount", strings.Fields(line)[4])
		}
	}
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "fs/file-max"} {
		value, _ := slot.Sysctl(key)
		add("setting", key+" "+value)
	}
	for _, d := range devices() {
		if st, err := os.Stat(d.Path); err == nil {
			add("device", d.Path+" "+st.Mode().String())
		}
	}
	if err := errors.Join(claimsErr, linksErr, tablesErr, mountsErr); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	add("group", groups...)
	slices.Sort(all)
	return all
}

// ofInstance is a trace with the index of its engine.
var ofInstance = regexp.MustCompile(`^(?:claim |link dt|table .*daytona|group .*daytona)(\d+)(?:-\d+|/.*)?$`)

// openInstances are the indexes of the engines that are open on this machine.
func openInstances(t *testing.T) (all []string) {
	t.Helper()
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(sockets)) {
		if _, index, ok := strings.Cut(strings.TrimSpace(line), "@daytona/instance/"); ok {
			all = append(all, index)
		}
	}
	return all
}

// sameTraces fails for what is there now and was not before.
func sameTraces(t *testing.T, before []string) {
	t.Helper()
	for _, now := range traces(t) {
		if !slices.Contains(before, now) {
			t.Errorf("this is left: %s", now)
		}
	}
}

func trialAt(dir string) Options { return Options{DataDir: dir, Version: "test"} }

func (o Options) line(t *testing.T, name string) Requirement {
	t.Helper()
	all := Try(t.Context(), o)
	for _, r := range all {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("nothing is said of %q: %+v", name, all)
	return Requirement{}
}

func TestAMachineIsTriedBySandboxesThatLeaveNothing(t *testing.T) {
	f := open(t, nil) // another engine, which must not notice
	s := f.create(nil)
	f.has(s.ID, "sleep 300 >/dev/null 2>&1 & echo $! >/tmp/pid; cat /tmp/pid", `"exitCode":0`)
	none := filepath.Join(t.TempDir(), "not", "there")
	before := traces(t)
	for _, dir := range []string{f.DataDir, none} {
		want := []string{"engine", "sandbox disk", "sandbox start", "sandbox agent", "sandbox command", "sandbox limits", "sandbox network", "build step", "sandbox removal"}
		var names []string
		for _, r := range Try(t.Context(), trialAt(dir)) {
			names = append(names, r.Name)
			if !r.OK {
				t.Errorf("%s: %s: %s", dir, r.Name, r.Detail)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: tried %q, want %q", dir, names, want)
		}
	}
	sameTraces(t, before)
	for _, path := range []string{filepath.Join(f.DataDir, trialDir), filepath.Dir(none)} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	f.has(s.ID, "kill -0 $(cat /tmp/pid) && echo undisturbed", "undisturbed")
	if st, err := f.Inspect(t.Context(), s.ID); err != nil || st.Phase != engine.PhaseRunning {
		t.Errorf("the sandbox beside it: %+v, %v", st, err)
	}
}

func TestACheckThatWasKilledIsFreedThoughSomebodyRemovedItsDirectory(t *testing.T) {
	before := traces(t)
	gone := filepath.Join(t.TempDir(), "gone")
	o := trialOptions(trialAt(gone))
	o.DataDir = filepath.Join(gone, trialDir)
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), os.RemoveAll(gone)); err != nil { // without Purge, as if killed
		t.Fatal(err)
	}
	for _, r := range Try(t.Context(), trialAt(t.TempDir())) {
		if !r.OK {
			t.Errorf("%s: %s", r.Name, r.Detail)
		}
	}
	if owners, err := instance.Owners(filepath.Join(o.RuntimeDir, instancesDir)); err != nil || slices.Contains(owners, o.DataDir) {
		t.Errorf("%s has its instance still: %v", o.DataDir, err)
	}
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there again: %v", gone, err)
	}
	sameTraces(t, before)
}

// An engine tries itself, too, while its sandboxes run.
func TestAnEngineTriesItself(t *testing.T) {
	f := open(t, func(o *Options) { o.ExtraCA = []byte("-----BEGIN CERTIFICATE-----\n") })
	f.create(nil)
	for range 2 {
		for _, r := range f.Probe(t.Context()) {
			if !r.OK {
				t.Errorf("%s: %s", r.Name, r.Detail)
			}
		}
		// A server that is killed meanwhile leaves the sandbox running.
		p := &probe{Local: f.Local, dir: filepath.Join(f.DataDir, probeDir)}
		if _, err := p.disk(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.Local.Close(); err != nil {
			t.Fatal(err)
		}
		f.reopen()
	}
	if r := (&probe{Local: f.Local, dir: filepath.Join(f.DataDir, probeDir)}).removal(t.Context()); !r.OK {
		t.Error(r.Detail)
	}
	all, err := f.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Errorf("sandboxes after it: %+v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Join(f.DataDir, probeDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its root is still there: %v", err)
	}
	first, err := f.Surroundings()
	if err != nil || !strings.Contains(first, "server test\nkernel ") || !strings.Contains(first, f.runtime.path) {
		t.Errorf("%q, %v", first, err)
	}
}

// runtimeThat is an OCI runtime which looks like one until it runs a container.
func runtimeThat(t *testing.T, does string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runtime")
	script := `#!/bin/sh
case "$*" in
*--help*) echo "  --preserve-fds value --keep" ;;
features) exit 1 ;;
*--version*) echo "runc version 1.1.5" ;;
*" run "*) ` + does + ` ;;
esac
`
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFailingRuntimeIsNamed(t *testing.T) {
	before := traces(t)
	for name, c := range map[string]struct{ does, line, says string }{
		"refuses": {`for log; do case $last in --log) echo '{"level":"error","msg":"unknown version specified"}' >"$log" ;; esac; last=$log; done; exit 1`,
			"sandbox start", "unknown version specified: " + "RUNC is too old: install runc 1.1 or newer"},
		"says nothing": {"exit 3", "sandbox start", "exit status 3: its log tells no error: RUNC refuses to run a container"},
		"hangs":        {"exec sleep 1000", "sandbox start", "something hangs: run the OCI runtime RUNC by hand"},
		"hangs in steps": {`case "$*" in *--detach*) exec runc "$@" ;; *) exec sleep 1000 ;; esac`,
			"build step", "something hangs"},
	} {
		t.Run(name, func(t *testing.T) {
			o := trialAt(t.TempDir())
			o.Runtime, o.StartTimeout = runtimeThat(t, c.does), 2*time.Second
			ctx := t.Context()
			if name == "hangs in steps" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 5*time.Second) // in place of ProbeTime
				defer cancel()
			}
			began := time.Now()
			all := Try(ctx, o)
			i := slices.IndexFunc(all, func(r Requirement) bool { return r.Name == c.line })
			if i < 0 || all[i].OK || !strings.Contains(all[i].Detail, strings.ReplaceAll(c.says, "RUNC", o.Runtime)) {
				t.Errorf("%+v", all)
			}
			if last := all[len(all)-1]; last.Name != "sandbox removal" || !last.OK {
				t.Errorf("not all was freed: %+v", last)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	sameTraces(t, before)
}

func TestAnEngineThatDoesNotOpenLeavesNothing(t *testing.T) {
	before := traces(t)
	o := trialAt(t.TempDir())
	o.Runtime = "/bin/true"
	all := Try(t.Context(), o)
	if len(all) != 1 || all[0].Name != "engine" || all[0].OK || !strings.HasSuffix(all[0].Detail, "use runc 1.1 or newer, or crun 1.15 or newer") {
		t.Errorf("%+v", all)
	}
	sameTraces(t, before)
	if left, err := os.ReadDir(o.DataDir); err != nil || len(left) > 0 {
		t.Errorf("left below the data directory: %v, %v", left, err)
	}
}

func TestWhatAProgramInsideReportsIsBelievedOnlyWhenAllOfItIsRight(t *testing.T) {
	for text, want := range map[string]string{
		`{"uid":0,"gid":0,"addresses":["10.0.0.2/30"]}`:          "",
		`{"uid":1000,"gid":0}`:                                   "runs as user 1000 of group 0, not as root",
		`{"failed":["write to the root filesystem: read-only"]}`: "could not write to the root filesystem: read-only",
		"sh: exec format error":                                  "exit code 0: sh: exec format error",
		"":                                                       "exit code 0",
	} {
		_, err := readReport(0, text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := readReport(126, `{}`); err == nil || !strings.Contains(err.Error(), "exit code 126") {
		t.Errorf("a program that failed: %v", err)
	}
}

func TestADataDirectoryOnTheWrongFilesystemIsNamed(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "merged")
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// As in a container without a volume.
	options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir, dir)
	if err := unix.Mount("overlay", at, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	r := trialAt(at).line(t, "sandbox start")
	if r.OK || r.Optional || !strings.Contains(r.Detail, "the filesystem of "+at) || !strings.Contains(r.Detail, "ext4, xfs or btrfs") {
		t.Errorf("%+v", r)
	}
}

func TestARuntimeDirectoryThatCannotBeWrittenIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY|unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	o := trialAt(t.TempDir())
	o.RuntimeDir = dir
	if r := o.line(t, "engine"); r.OK || !strings.Contains(r.Detail, dir+" is mounted read-only, noexec; a filesystem is mounted read-only: mount it writable") {
		t.Errorf("%+v", r)
	}
}

// As the distributions mount /run.
func TestARuntimeDirectoryWithoutExecutionWorks(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	o := trialAt(t.TempDir())
	o.RuntimeDir = dir
	for _, r := range Try(t.Context(), o) {
		if !r.OK {
			t.Errorf("%s: %s", r.Name, r.Detail)
		}
	}
}

func TestChecksOfOneMachineWaitForEachOther(t *testing.T) {
	dir := t.TempDir()
	first, err := lockPlace(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if f, err := lockPlace(ctx, dir); err == nil {
		f.Close()
		t.Error("two checks use one directory")
	} else if !strings.Contains(err.Error(), "another check") {
		t.Error(err)
	}
	first.Close()
	second, err := lockPlace(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// asTrial makes the test's own binary a check of the data directory it names.
const asTrial = "LOCAL_TEST_TRIES_THE_MACHINE"

func tryUntilSignalled(dir string) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT)
	defer stop()
	o := trialAt(dir)
	o.Runtime = os.Getenv(asTrial + "_RUNTIME")
	Try(ctx, o)
}

// tryElsewhere is Try in a process of its own, with a runtime that starts the
// sandbox and then hangs: at that moment all is there that a check makes.
func tryElsewhere(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	started := filepath.Join(t.TempDir(), "started")
	c := exec.Command(self)
	c.Env = append(os.Environ(), asTrial+"="+dir, asTrial+"_RUNTIME="+runtimeThat(t, `runc "$@" && touch `+started+`; exec sleep 1000`))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _, _ = c.Process.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			return c
		}
		if time.Now().After(end) {
			t.Fatal("the sandbox was never started")
		}
	}
}

func TestWhatAKilledCheckLeavesTheNextOneFrees(t *testing.T) {
	before := traces(t)
	dir := t.TempDir()
	for _, next := range []string{dir, filepath.Join(dir, "data"), t.TempDir()} { // also for another data directory
		c := tryElsewhere(t, dir)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Process.Wait()
		if now := traces(t); len(now) <= len(before) {
			t.Fatal("the killed check has left nothing to be freed")
		}
		for _, r := range Try(t.Context(), trialAt(next)) {
			if !r.OK {
				t.Errorf("%s: %s", r.Name, r.Detail)
			}
		}
		sameTraces(t, before)
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Fatalf("left below the data directory: %v, %v", left, err)
		}
	}
}

func TestAnInterruptedCheckFreesAll(t *testing.T) {
	before := traces(t)
	dir := t.TempDir()
	c := tryElsewhere(t, dir)
	began := time.Now()
	if err := c.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Process.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
	sameTraces(t, before)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left below the data directory: %v, %v", left, err)
	}
}
