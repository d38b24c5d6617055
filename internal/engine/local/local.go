package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/agent"
	"github.com/opendaytona/daytona/internal/engine/local/apparmor"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
	"github.com/opendaytona/daytona/internal/engine/local/instance"
	"github.com/opendaytona/daytona/internal/engine/local/nameserver"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
	"github.com/opendaytona/daytona/internal/engine/watch"
	"github.com/opendaytona/daytona/internal/fairqueue"
	"github.com/opendaytona/daytona/internal/keylock"
)

// Local is the engine of this machine. It implements engine.Host.
type Local struct {
	Options
	dir         string // of this instance, below RuntimeDir
	runtime     ociRuntime
	instance    *instance.Instance
	disks       disk.Pool
	cgroups     *cgroup.Tree
	slots       *slot.Pool
	boot        string              // id of this boot of the machine
	purged      bool                // nothing is left to come back to
	clocks      bool                // sandboxes have their own
	files       uint64              // that a process of a sandbox may raise its limit to
	agentLimits bool                // the agent sets it, since the OCI runtime may not
	apparmor    *apparmor.Namespace // that sandboxes and steps run in; nil where AppArmor is off or out of reach

	starts *fairqueue.Queue // bounds the starts at one time
	events watch.Hub
	done   context.Context // ended by Close
	stop   context.CancelFunc
	work   sync.WaitGroup // watchers

	trusts trusts

	locks keylock.Locks // of sandboxes and captures
	pool  sync.RWMutex  // held by every sandbox's lock, and alone while the pool is brought back

	mu          sync.Mutex
	running     map[string]*container
	failed      map[string]bool               // sandboxes that are being ended because the pool failed
	nameServers map[string]*nameserver.Server // of the sandboxes that need one

	problems map[string]*problem // of what is not recovered, by id
}

var _ engine.Host = (*Local)(nil)

// disksDir is the engine's part of the data directory.
const disksDir = "disks"

// DefaultRuntimeDir is where the state of running sandboxes is kept.
const DefaultRuntimeDir = "/run/daytona"

// Open takes over this machine's part of o.DataDir: it goes on with the
// sandboxes that run and frees what a killed server left half made. Errors:
// instance.ErrInUse, agent.ErrNotBuilt.
func Open(ctx context.Context, o Options) (_ *Local, err error) {
	if o.RuntimeDir == "" {
		o.RuntimeDir = DefaultRuntimeDir
	}
	if o.Runtime == "" {
		o.Runtime = "runc"
	}
	if o.Slots == 0 {
		o.Slots = 4
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 30 * time.Second
	}
	l := &Local{
		Options:     o,
		starts:      fairqueue.New(fairqueue.Limits{All: 3 * runtime.NumCPU(), PerTenant: 2 * runtime.NumCPU()}),
		running:     map[string]*container{},
		nameServers: map[string]*nameserver.Server{},
		failed:      map[string]bool{},

		problems: map[string]*problem{},
	}
	l.done, l.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			if o.Trial {
				err = errors.Join(err, l.Purge(ctx)) // nobody will open it again
			}
			err = errors.Join(fmt.Errorf("open engine: %w", err), l.Close())
		}
	}()
	if err := l.claim(); err != nil {
		return l, err
	}
	if err := l.prepare(ctx); err != nil {
		return l, err
	}
	if err := l.openGroups(); err != nil {
		return l, err
	}
	if err := l.openPool(ctx); err != nil {
		return l, err
	}
	if err := l.recover(ctx); err != nil {
		return l, err
	}
	l.work.Go(l.watchPool)
	return l, nil
}

// name is what belongs to this instance: its cgroup, its nftables table, its
// AppArmor policy namespace.
func (l *Local) name() string { return "daytona" + strconv.Itoa(l.instance.Index) }

func (l *Local) claim() (err error) {
	if err := l.refuseMove(); err != nil {
		return err
	}
	if l.instance, err = instance.Claim(filepath.Join(l.RuntimeDir, instancesDir), l.DataDir, inUse); err != nil {
		return err
	}
	l.dir = instanceDir(l.RuntimeDir, l.instance.Index)
	return l.rememberRuntimeDir()
}

// inUse reports whether something of an instance is on the machine.
func inUse(index int) bool {
	return slot.Busy(index) || cgroup.Used("daytona"+strconv.Itoa(index))
}

func instanceDir(runtimeDir string, index int) string {
	return filepath.Join(runtimeDir, strconv.Itoa(index))
}

// openGroups goes on with the parent group of the server before while sandboxes
// are in it.
func (l *Local) openGroups() (err error) {
	file := filepath.Join(l.dir, groupFile)
	last, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if l.cgroups, err = cgroup.Open(l.name(), string(last)); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(l.cgroups.Parent()), 0o600)
}

// The files of an instance's directory.
const (
	sandboxesDir = "sandboxes" // a directory for each
	runtimeRoot  = "runtime"   // the OCI runtime's own state
	rootTarget   = "root"      // where root filesystems are mounted, each in a mount namespace of its own
	diskTarget   = "disk"      // and their disks
	stageTarget  = "stage"     // and what both are made of
	trustDir     = "trust"     // trusted certificates, a file for each image
	agentFile    = "toolbox"
	groupFile    = "cgroup" // the path of the sandboxes' parent group
)

// maxSocketPath is what sockaddr_un holds (unix(7)).
const maxSocketPath = 107

func (l *Local) prepare(ctx context.Context) error {
	if err := l.own(); err != nil {
		return err
	}
	if n := len(l.socket("01234567-89ab-cdef-0123-456789abcdef")); n > maxSocketPath {
		return fmt.Errorf("runtime directory %s: its path is %d bytes too long for sockets", l.RuntimeDir, n-maxSocketPath)
	}
	// The OCI runtime mounts as the sandbox's root, which must get through to
	// what it mounts; sockets and state have modes of their own.
	// What another server added to trust may not be what this one does.
	if err := os.RemoveAll(filepath.Join(l.dir, trustDir)); err != nil {
		return err
	}
	for name, mode := range map[string]os.FileMode{"": 0o711, trustDir: 0o711, sandboxesDir: 0o711, runtimeRoot: 0o700, rootTarget: 0o711, diskTarget: 0o711, stageTarget: 0o700} {
		path := filepath.Join(l.dir, name)
		if err := os.MkdirAll(path, 0o711); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	path, err := exec.LookPath(l.Runtime)
	if err != nil {
		return fmt.Errorf("find the OCI runtime (install runc, or name another in the configuration): %w", err)
	}
	if l.runtime, err = openRuntime(ctx, path, filepath.Join(l.dir, runtimeRoot)); err != nil {
		return err
	}
	if l.boot, err = bootID(); err != nil {
		return err
	}
	if err := tryOwnClock(); err != nil {
		l.Log.Warn("the uptime in sandboxes is the machine's", "err", err)
	} else {
		l.clocks = true
	}
	if apparmor.Enabled() {
		if l.apparmor, err = apparmor.Open(l.name(), l.Log); err != nil {
			l.Log.Warn("the host's AppArmor profiles attach to programs in sandboxes", "err", err)
		}
	}
	l.agentLimits = !mayLimit()
	if l.files, err = raiseFiles(); err != nil {
		return err
	}
	if !l.Trial {
		if err := l.setMachine(); err != nil {
			return err
		}
	}
	binary, err := agent.Binary()
	if err != nil {
		return err
	}
	// A running sandbox keeps the agent it was started with, by a hard link.
	next := filepath.Join(l.dir, agentFile+".new")
	if err := os.WriteFile(next, binary, 0o755); err != nil {
		return fmt.Errorf("install agent: %w", err)
	}
	return os.Rename(next, filepath.Join(l.dir, agentFile))
}

// setMachine changes what sandboxes need of the machine and no sandbox can
// change. It stays until the next boot; docs/configuration.md lists all of it.
func (l *Local) setMachine() error {
	l.openDevices()
	if l.Sysctls {
		l.setSysctls()
	}
	return l.raiseFileMax()
}

// own makes the instance's directory this data directory's: another one that
// had the index before is gone, or it would not have been given away.
func (l *Local) own() error {
	file := filepath.Join(l.dir, "data-directory")
	owner, err := os.ReadFile(file)
	if err == nil && string(owner) == l.DataDir {
		return nil
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("clear runtime directory: %w", err)
	}
	if err := os.MkdirAll(l.dir, 0o711); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(l.DataDir), 0o600)
}

// Close implements engine.Engine. When no sandbox runs, nothing of the engine
// is left on the machine.
func (l *Local) Close() error {
	l.stop()
	l.work.Wait()
	l.mu.Lock()
	idle := len(l.running) == 0
	for _, c := range l.running {
		c.pidfd.Close()
	}
	l.mu.Unlock()
	if l.cgroups != nil && len(l.cgroups.List()) > 0 {
		idle = false // what could not be killed uses them
	}
	l.events.Close()

	errs := []error{l.closeNameServers()}
	if l.slots != nil {
		errs = append(errs, l.slots.Close(idle))
	}
	if idle && l.cgroups != nil {
		errs = append(errs, l.cgroups.Destroy())
	}
	if idle && l.apparmor != nil {
		errs = append(errs, l.apparmor.Remove())
	}
	if l.disks != nil {
		errs = append(errs, l.disks.Close(!idle))
	}
	l.runtime.close()
	if l.instance != nil {
		errs = append(errs, l.instance.Release(l.purged))
	}
	return errors.Join(errs...)
}

// Purge stops every sandbox of this data directory and frees all that the
// engine made on the machine. The disks stay; the engine is of no use after.
// When a sandbox does not stop, what tells of it stays for another Purge.
func (l *Local) Purge(ctx context.Context) error {
	var errs []error
	if l.slots != nil { // it did open
		entries, err := os.ReadDir(filepath.Join(l.dir, sandboxesDir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			errs = append(errs, l.Stop(ctx, e.Name(), 0)) // those that have just ended, too: somebody may be cleaning up
		}
	}
	if l.cgroups != nil {
		for _, id := range l.cgroups.List() {
			errs = append(errs, l.removeGroup(ctx, id)) // of one that could not be cleaned up after
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	l.purged = true
	return os.RemoveAll(l.dir)
}

// Create implements engine.Engine.
func (l *Local) Create(ctx context.Context, spec engine.Spec) error {
	unlock, err := l.lock(ctx, spec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.usable(); err != nil {
		return fmt.Errorf("create sandbox %s: %w", spec.ID, err)
	}
	if _, err := l.image(ctx, spec.Image); err != nil {
		return fmt.Errorf("create sandbox %s: %w", spec.ID, err)
	}
	err = l.disks.SetRecord(spec.ID, spec.Record)
	switch {
	case err != nil:
	case spec.From != "":
		err = l.copyDisk(ctx, spec.From, spec.ID, spec.Resources.Disk)
	default:
		err = l.disks.Create(spec.ID, spec.Resources.Disk)
	}
	if errors.Is(err, disk.ErrFull) || errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w: %w", engine.ErrNoSpace, err)
	}
	if err != nil {
		return fmt.Errorf("create sandbox %s: %w", spec.ID, err)
	}
	return nil
}

// Delete implements engine.Engine.
func (l *Local) Delete(ctx context.Context, id string) error {
	if err := l.kill(id); err != nil {
		return fmt.Errorf("delete sandbox %s: %w", id, err)
	}
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	err = l.end(ctx, id, 0)
	if err == nil {
		err = l.usable()
	}
	if err == nil {
		err = l.disks.Delete(id)
	}
	if err == nil {
		err = os.RemoveAll(l.sandboxDir(id))
	}
	if err != nil {
		return fmt.Errorf("delete sandbox %s: %w", id, err)
	}
	return nil
}

// Inspect implements engine.Engine.
func (l *Local) Inspect(_ context.Context, id string) (engine.Status, error) {
	st := engine.Status{ID: id, Phase: engine.PhaseStopped}
	l.mu.Lock()
	if c := l.running[id]; c != nil {
		st.Phase, st.StartedAt, st.Booted = engine.PhaseRunning, c.StartedAt, true
	}
	running, problem := st.Phase == engine.PhaseRunning, l.problems[id]
	if problem != nil {
		st.Phase, st.Problem = engine.PhaseFailed, problem.text
	}
	l.mu.Unlock()
	exists := l.disks.Exists(id)
	if !exists && !running {
		return st, fmt.Errorf("inspect sandbox %s: %w", id, engine.ErrNotFound)
	}
	if !running {
		r, err := l.readState(id)
		if st.Booted = err == nil && r.Boot == l.boot; st.Booted {
			st.Exit = r.Exit
		}
	}
	if exists {
		var err error
		if st.DiskUsed, err = l.disks.Used(id); err != nil {
			return st, fmt.Errorf("inspect sandbox %s: %w", id, err)
		}
		if st.DiskLimit, err = l.disks.Limit(id); err != nil {
			return st, fmt.Errorf("inspect sandbox %s: %w", id, err)
		}
	}
	return st, nil
}

// List implements engine.Engine.
func (l *Local) List(ctx context.Context) ([]engine.Status, error) {
	ids, err := l.disks.List()
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return isCapture(id) || isBuildDisk(id) })
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		seen[id] = true
	}
	l.mu.Lock()
	for id := range l.running {
		if !seen[id] {
			ids = append(ids, id)
		}
	}
	l.mu.Unlock()
	all := make([]engine.Status, 0, len(ids))
	for _, id := range ids {
		st, err := l.Inspect(ctx, id)
		if errors.Is(err, engine.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			l.log(id).Debug("list a sandbox without its disk's use", "err", err)
		}
		all = append(all, st)
	}
	return all, nil
}

// Dial implements engine.Engine.
func (l *Local) Dial(ctx context.Context, id string) (net.Conn, error) {
	l.mu.Lock()
	c := l.running[id]
	l.mu.Unlock()
	if c == nil {
		return nil, fmt.Errorf("dial sandbox %s: %w", id, engine.ErrNotRunning)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", l.socket(id))
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", engine.ErrNotRunning, err) // it just ended
	}
	if err != nil {
		return nil, fmt.Errorf("dial sandbox %s: %w", id, err)
	}
	return conn, nil
}

// Watch implements engine.Engine.
func (l *Local) Watch(ctx context.Context) <-chan engine.Event { return l.events.Watch(ctx) }

// lock serializes the calls for one sandbox. The wait ends with ctx.
func (l *Local) lock(ctx context.Context, id string) (unlock func(), err error) {
	free, err := l.locks.Lock(ctx, id)
	if err == nil && ctx.Err() != nil { // the lock was free
		free()
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("wait for sandbox %s: %w", id, err)
	}
	for !l.pool.TryRLock() { // it is being brought back
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			free()
			return nil, fmt.Errorf("wait for the disk pool: %w", ctx.Err())
		}
	}
	return func() { l.pool.RUnlock(); free() }, nil
}

// openDevices lets everyone use the devices that sandboxes get. They are bound
// from the host, whose udev does the same; machines without udev do not.
func (l *Local) openDevices() {
	for _, d := range devices() {
		st, err := os.Stat(d.Path)
		if err != nil || st.Mode().Perm()&0o666 == 0o666 {
			continue
		}
		l.Log.Info("letting everyone use a device, as udev would", "device", d.Path)
		if err := os.Chmod(d.Path, 0o666); err != nil {
			l.Log.Warn("sandboxes cannot use a device", "device", d.Path, "err", err)
		}
	}
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the machine's boot id: %w", err)
	}
	return string(b[:len(b)-1]), nil
}

// grace is how long cleaning up may take when nobody else bounds it.
const grace = 30 * time.Second

// log of one sandbox.
func (l *Local) log(id string) *slog.Logger { return l.Log.With("sandbox", id) }
