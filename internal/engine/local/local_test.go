package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	"github.com/opendaytona/daytona/internal/engine/local/instance"
	"github.com/opendaytona/daytona/internal/image"
)

// oneImage is a busybox with a few files to look at.
type oneImage struct{ layers []string }

const digest = "sha256:busybox"

func (o oneImage) Image(_ context.Context, d string) (*image.Image, error) {
	if d != digest {
		return nil, image.ErrNotFound
	}
	return &image.Image{
		Digest: d, Layers: o.layers, DefaultUser: "root",
		Config: image.Config{Env: []string{"PATH=/bin", "FROM=image"}, Volumes: []string{"/data"}},
	}, nil
}

func busybox(t *testing.T) oneImage {
	t.Helper()
	layers := t.TempDir()
	if err := os.Chmod(layers, 0o711); err != nil {
		t.Fatal(err)
	}
	run := func(script string) {
		t.Helper()
		c := exec.Command("sh", "-euc", script)
		c.Dir = layers
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	run(`mkdir -p base/bin base/etc base/tmp base/data/sub base/home/user; chmod 1777 base/tmp
		cp /bin/busybox base/bin/; base/bin/busybox --install -s base/bin; 
		for l in base/bin/*; do [ -L $l ] && ln -sf busybox $l; done
		echo root:x:0:0:root:/root:/bin/sh >base/etc/passwd; echo user:x:1000:1000::/home/user:/bin/sh >>base/etc/passwd
		chown 1000:1000 base/home/user
		echo hello >base/data/sub/file; chown 1000:1000 base/data/sub/file
		mkdir -p top/etc; echo top >top/etc/layer`)
	return oneImage{layers: []string{filepath.Join(layers, "top"), filepath.Join(layers, "base")}}
}

type fixture struct {
	*Local
	t       *testing.T
	options Options
}

func open(t *testing.T, edit func(*Options)) *fixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	// The claims are the machine's: a running server has others.
	o := Options{
		DataDir: t.TempDir(), Runtime: os.Getenv("DAYTONA_TEST_RUNTIME"), Images: busybox(t), DiskSize: 2 << 30, Slots: 2, Version: "test",
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&o)
	}
	f := &fixture{t: t, options: o}
	f.reopen()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Purge(ctx); err != nil {
			t.Error(err)
		}
		if err := f.Local.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) reopen() {
	f.t.Helper()
	l, err := Open(f.t.Context(), f.options)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Local = l
}

// exit waits until the sandbox has ended by itself, and returns how; nil when it
// does not within the time.
func (f *fixture) exit(id string, within time.Duration) *engine.Exit {
	f.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		st, err := f.Inspect(f.t.Context(), id)
		if err != nil {
			f.t.Fatal(err)
		}
		if st.Exit != nil {
			return st.Exit
		}
		if time.Now().After(end) {
			return nil
		}
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func spec() engine.Spec {
	return engine.Spec{
		ID: uuid.NewString(), Hostname: "box", Image: digest, User: "user",
		Env:       map[string]string{"FROM": "sandbox"},
		Resources: engine.Resources{CPU: 1, Memory: 256 << 20, Disk: 1 << 30, PIDs: 512},
	}
}

func (f *fixture) create(edit func(*engine.Spec)) engine.Spec {
	f.t.Helper()
	s := spec()
	if edit != nil {
		edit(&s)
	}
	if err := f.Create(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
	if err := f.Start(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// pid is the sandbox's first process.
func (f *fixture) pid(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[id].PID
}

// slot is the sandbox's.
func (f *fixture) slot(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[id].Slot
}

// do runs a command in the sandbox by its agent.
func (f *fixture) do(id, command string) (string, error) {
	_, answer, err := f.post(id, "/process/execute", "application/json", strings.NewReader(fmt.Sprintf(`{"command":%q}`, command)))
	return answer, err
}

// post sends the agent a request.
func (f *fixture) post(id, route, kind string, body io.Reader) (status int, answer string, err error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return f.Dial(ctx, id) }}}
	r, err := c.Post("http://agent"+route, kind, body)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

func (f *fixture) has(id, command, want string) {
	f.t.Helper()
	out, err := f.do(id, command)
	if err != nil || !strings.Contains(out, want) {
		f.t.Errorf("%s: %q, %v; want %q in it", command, out, err, want)
	}
}

func TestASandboxRunsOnItsImageAndKeepsItsDisk(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	f.has(s.ID, "id", "uid=1000(user)")
	f.has(s.ID, "cat /etc/layer", "top")
	f.has(s.ID, "echo $FROM", "sandbox")
	f.has(s.ID, "hostname", "box")
	f.has(s.ID, "ls -ln /data/sub/file", "1000     1000")
	f.has(s.ID, "ls -ldn /home/user /", "1000     1000")
	f.has(s.ID, "touch /home/user/kept && ls -n /home/user/kept", "1000     1000")
	f.has(s.ID, cgrouptest.ShowMemoryLimit, "268435456")
	if err := f.Stop(t.Context(), s.ID, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Dial(t.Context(), s.ID); !errors.Is(err, engine.ErrNotRunning) {
		t.Errorf("dial of a stopped sandbox: %v", err)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, "ls -n /home/user/kept", "1000     1000")
	if err := f.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Inspect(t.Context(), s.ID); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("inspect of a deleted sandbox: %v", err)
	}
}

func TestASandboxThatIsStartedAgainHasItsAddress(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	had := f.slot(s.ID)
	restart := func() int {
		t.Helper()
		if err := f.Stop(t.Context(), s.ID, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return f.slot(s.ID)
	}
	if now := restart(); now != had {
		t.Errorf("slot %d, before %d", now, had)
	}
	f.has(s.ID, "ip -4 addr show dev eth0", f.slots.Adopt(had, false).Guest.String()+"/")
	f.has(f.create(nil).ID, "echo another", "another")

	// Where another has it, the sandbox takes what there is.
	if err := f.Stop(t.Context(), s.ID, 0); err != nil {
		t.Fatal(err)
	}
	taken, err := f.slots.TakeAgain(had)
	if err != nil || taken.Index != had {
		t.Fatal(taken, err)
	}
	if now := restart(); now == had {
		t.Errorf("two sandboxes have slot %d", now)
	}
	if err := f.slots.Release(taken); err != nil {
		t.Error(err)
	}
}

func TestANewEngineTakesOverRunningSandboxes(t *testing.T) {
	f := open(t, nil)
	s, other := f.create(nil), f.create(nil)
	f.has(s.ID, "echo $$ >/tmp/mark; cat /tmp/mark", "")
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.has(s.ID, "test -s /tmp/mark && echo kept", "kept")
	st, err := f.Inspect(t.Context(), s.ID)
	if err != nil || st.Phase != engine.PhaseRunning || !st.Booted || st.StartedAt.IsZero() {
		t.Fatalf("%+v, %v", st, err)
	}
	all, err := f.List(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, id := range []string{s.ID, other.ID} {
		if err := f.Stop(t.Context(), id, time.Second); err != nil {
			t.Fatal(err)
		}
		if st, err := f.Inspect(t.Context(), id); err != nil || st.Exit != nil {
			t.Errorf("a stop is told as an exit: %+v, %v", st.Exit, err)
		}
	}
}

func TestASandboxThatEndsByItselfIsTold(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User = "root" })
	pid := f.pid(s.ID)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := f.exit(s.ID, 10*time.Second); e == nil || e.OOMKilled {
		t.Fatalf("%+v", e)
	}
	st, err := f.Inspect(t.Context(), s.ID)
	if err != nil || st.Phase != engine.PhaseStopped || !st.Booted {
		t.Fatalf("%+v, %v", st, err)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, "echo again", "again")
}

func TestSandboxesThatEndWhileNobodyWatchesAreCleared(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	pid := f.pid(s.ID)
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	st, err := f.Inspect(t.Context(), s.ID)
	if err != nil || st.Phase != engine.PhaseStopped {
		t.Fatalf("%+v, %v", st, err)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, "echo again", "again")
}

func TestRepeatedCallsChangeNothing(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	pid := f.pid(s.ID)
	for range 2 {
		if err := errors.Join(f.Create(t.Context(), s), f.Start(t.Context(), s)); err != nil {
			t.Fatal(err)
		}
	}
	if f.pid(s.ID) != pid {
		t.Error("the sandbox was started again")
	}
	for range 2 {
		if err := f.Stop(t.Context(), s.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := f.Delete(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Start(t.Context(), s); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("start of a deleted sandbox: %v", err)
	}
	s.Image = "sha256:other"
	if err := f.Create(t.Context(), s); !errors.Is(err, engine.ErrImageMissing) {
		t.Errorf("create on a missing image: %v", err)
	}
}

func TestLimitsBind(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) {
		s.User, s.Resources.Disk, s.Resources.Memory, s.Resources.PIDs = "root", 64<<20, 128<<20, 64
	})
	f.has(s.ID, "dd if=/dev/zero of=/tmp/fill bs=1M count=100 2>&1; rm -f /tmp/fill", "quota")
	f.has(s.ID, "tail /dev/zero; echo ended $?", "ended 137")
	f.has(s.ID, "for i in $(seq 100); do sleep 3 & done 2>&1 | head -3; echo done", "fork")
	f.has(s.ID, "echo fine", "fine")
}

func TestAPurgeThatFailsKeepsWhatTheNextOneNeeds(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	unlock, err := f.lock(t.Context(), s.ID) // somebody is at it
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Purge(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	unlock()
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if err := f.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the instance's directory is left: %v", err)
	}
}

func TestFailedStartsLeaveNothing(t *testing.T) {
	f := open(t, func(o *Options) { o.Slots = 1 })
	s := spec()
	if err := f.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	good := f.runtime.image
	broken, err := sealedCopy("/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	f.runtime.image = broken
	for range 3 {
		if err := f.Start(t.Context(), s); err == nil {
			t.Fatal("it started without a runtime")
		}
	}
	f.runtime.image = good
	if left := f.cgroups.List(); len(left) != 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, "echo after all", "after all")
}

func TestTwoEnginesDoNotShareADataDirectory(t *testing.T) {
	f := open(t, nil)
	if _, err := Open(t.Context(), f.options); !errors.Is(err, instance.ErrInUse) {
		t.Fatal(err)
	}
}

func TestNoMountOfASandboxIsTheHosts(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, f.dir) || strings.Contains(line, s.ID) {
			t.Errorf("the host sees %s", line)
		}
	}
	// And the sandbox sees nothing of the host's.
	out, err := f.do(s.ID, "cat /proc/self/mountinfo")
	if err != nil || strings.Contains(out, "/run/daytona/"+filepath.Base(f.dir)+"/root") {
		t.Error(out, err)
	}
}

func TestThisMachineHasWhatTheEngineNeeds(t *testing.T) {
	// What the machine's owner has to decide.
	owners := map[string]bool{"open files": true, "kubelets inside": true}
	for _, r := range Check(t.Context(), Options{DataDir: t.TempDir()}) {
		if !r.OK && !owners[r.Name] {
			t.Errorf("%s: %s", r.Name, r.Detail)
		}
	}
	used := t.TempDir()
	if err := unix.Mount("tmpfs", used, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(used, 0); err != nil {
			t.Error(err)
		}
	}()
	if r := checkDataDir(used); r.OK || r.Optional || !strings.Contains(r.Detail, "for a new one") {
		t.Errorf("a small new data directory: %+v", r)
	}
	if err := os.Mkdir(filepath.Join(used, disksDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := checkDataDir(used); r.OK || !r.Optional || !r.Urgent {
		t.Errorf("a data directory in use that is nearly full: %+v", r)
	}
	for _, r := range Check(t.Context(), Options{Runtime: "no-such-runtime", DataDir: "/proc/nowhere"}) {
		if missing := r.Name == "OCI runtime" || r.Name == "data directory"; r.OK == missing && !owners[r.Name] {
			t.Errorf("%s: %v, %s", r.Name, r.OK, r.Detail)
		}
	}
}

func TestAddedCertificatesAreTrustedAndNoSandboxAddsToThem(t *testing.T) {
	f := open(t, func(o *Options) { o.ExtraCA = []byte("the company's\n") })
	asRoot := func(s *engine.Spec) { s.User = "root" }
	used := f.create(asRoot)
	f.has(used.ID, "tail -n 1 $SSL_CERT_FILE", "the company's")
	f.has(used.ID, "mkdir -p /etc/ssl/certs && echo evil >/etc/ssl/certs/ca-certificates.crt; echo done", "done")
	if err := f.Stop(t.Context(), used.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if err := f.Start(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	f.has(used.ID, "head -n 1 $SSL_CERT_FILE", "evil") // its own doing
	other := f.create(asRoot)
	f.has(other.ID, "grep -c evil $SSL_CERT_FILE; true", "0")
}

func TestAKillDoesNotWaitForAnOrderlyStop(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.Entrypoint = []string{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"} })
	f.has(s.ID, "sleep 0.3; echo up", "up")
	began := time.Now()
	orderly := make(chan error, 1)
	go func() { orderly <- f.Stop(t.Context(), s.ID, time.Minute) }()
	time.Sleep(100 * time.Millisecond)
	if err := f.Stop(t.Context(), s.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-orderly; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
