package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/rootfs"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
	"github.com/opendaytona/daytona/internal/fairqueue"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// Start implements engine.Engine.
func (l *Local) Start(ctx context.Context, spec engine.Spec) error {
	unlock, err := l.lock(ctx, spec.ID)
	if err != nil {
		return err
	}
	// More at once would only make each of them slower.
	release, err := l.starts.Acquire(ctx, fairqueue.Request{Tenant: spec.Tenant})
	if err != nil {
		unlock()
		return fmt.Errorf("start sandbox %s: %w", spec.ID, err)
	}
	defer release()
	limited, cancel := context.WithTimeoutCause(ctx, l.StartTimeout, engine.ErrStartTimeout)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		defer unlock()
		done <- l.start(limited, spec)
	}()
	err = l.outcome(limited, done)
	if err != nil && errors.Is(context.Cause(limited), engine.ErrStartTimeout) {
		err = fmt.Errorf("%w of %s: %w", engine.ErrStartTimeout, l.StartTimeout, err)
	}
	if err != nil {
		return fmt.Errorf("start sandbox %s: %w", spec.ID, err)
	}
	return nil
}

// outcome waits for what a start sends, and for it to clean up when ctx has
// ended. What the kernel still holds then, as a filesystem that does not answer
// does, is left to the start's goroutine: it keeps the sandbox's lock until it
// has cleaned up, while its caller, and other sandboxes, go on.
func (l *Local) outcome(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return errors.New("the kernel does not finish a step of it")
	}
}

func (l *Local) start(ctx context.Context, spec engine.Spec) (err error) {
	l.mu.Lock()
	c := l.running[spec.ID]
	l.mu.Unlock()
	if c != nil && l.hasProblem(spec.ID) {
		if err := l.takeOver(ctx, spec.ID, c.runState); err != nil {
			return err
		}
		l.recovered(spec.ID)
	}
	if c != nil {
		return nil
	}
	if err := l.usable(); err != nil {
		return err
	}
	l.mu.Lock()
	delete(l.failed, spec.ID)
	l.mu.Unlock()
	if !l.disks.Exists(spec.ID) {
		return engine.ErrNotFound
	}
	// Whoever is told of the start may count on the disk. The rest goes on beside
	// it.
	synced := l.syncDisk(spec.ID)
	defer func() { _ = synced() }() // the lock is held meanwhile
	img, err := l.image(ctx, spec.Image)
	if err != nil {
		return err
	}
	s, err := l.takeSlot(spec.ID)
	if errors.Is(err, slot.ErrNone) {
		return fmt.Errorf("%w: %w", engine.ErrNoSlot, err)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			s.CloseNamespaces()
			return
		}
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err = errors.Join(err, l.clear(cleanup, spec.ID), l.slots.Release(s))
	}()
	b := bundle{spec: spec, image: img, slot: s, dir: l.sandboxDir(spec.ID)}
	r := runState{Boot: l.boot, Slot: s.Index, IPv6: s.Guest6.IsValid(), StartedAt: time.Now()}
	if err := l.setUp(&b, &r); err != nil {
		return err
	}
	go l.cgroups.Warm()
	giveBack, err := l.disks.Lend(spec.ID, spec.Resources.Disk)
	if err != nil {
		return err
	}
	r.PID, err = l.launch(ctx, &b)
	if err := errors.Join(err, giveBack()); err != nil {
		return err
	}
	if err := synced(); err != nil {
		return err
	}
	if r.Ticks, err = startTicks(r.PID); err != nil {
		return err
	}
	if err := l.writeState(spec.ID, r); err != nil {
		return err
	}
	if err := l.attach(spec.ID, r); err != nil {
		return err
	}
	l.recovered(spec.ID)
	return nil
}

// syncDisk begins to sync a disk, and returns how to wait for it.
func (l *Local) syncDisk(id string) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- l.disks.Sync(id) }()
	return sync.OnceValue(func() error { return <-done })
}

// takeSlot takes a slot, for a sandbox that is started again the one it had:
// clusters and databases inside write down the address of their machine.
func (l *Local) takeSlot(id string) (*slot.Slot, error) {
	if r, err := l.readState(id); err == nil {
		return l.slots.TakeAgain(r.Slot)
	}
	return l.slots.Take()
}

func (l *Local) image(ctx context.Context, digest string) (*image.Image, error) {
	if digest == probeImage {
		return l.probeRoot(), nil
	}
	img, err := l.Images.Image(ctx, digest)
	if errors.Is(err, image.ErrNotFound) {
		err = fmt.Errorf("%w: %w", engine.ErrImageMissing, err)
	}
	return img, err
}

// bundle is what one start is made of.
type bundle struct {
	spec  engine.Spec
	image *image.Image
	slot  *slot.Slot
	dir   string // of the sandbox, and the OCI bundle

	volumes []string // paths inside that are bound from the disk
}

// setUp makes all that can be freed by name alone, the state file first: a server
// that starts after a crash finds it and clears what it names.
func (l *Local) setUp(b *bundle, r *runState) (err error) {
	if err := l.clearStale(l.done, b.spec.ID); err != nil {
		return err
	}
	view := filepath.Base(boot.View)
	for _, name := range []string{view + "/proc", view + "/sysfs", filepath.Base(boot.State)} {
		if err := os.MkdirAll(filepath.Join(b.dir, guestDir, name), 0o755); err != nil {
			return err
		}
	}
	if err := l.writeState(b.spec.ID, *r); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(l.dir, agentFile), filepath.Join(b.dir, guestDir, filepath.Base(boot.Path))); err != nil {
		return fmt.Errorf("install agent: %w", err)
	}
	if r.Policy, err = l.applyNetwork(b.spec.ID, b.slot, b.spec.Network); err != nil {
		return err
	}
	return l.cgroups.Create(b.spec.ID, b.slot.HostID)
}

// clearStale removes what an earlier start or stop could not.
func (l *Local) clearStale(ctx context.Context, id string) error {
	entries, err := os.ReadDir(l.sandboxDir(id))
	if errors.Is(err, os.ErrNotExist) || err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != filepath.Base(l.stateFile(id)) }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return errors.Join(err, l.clear(ctx, id))
}

// launch runs the container and returns its first process.
func (l *Local) launch(ctx context.Context, b *bundle) (pid int, err error) {
	listener, err := listen(l.socket(b.spec.ID))
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	config, err := l.bootConfig(b)
	if err != nil {
		return 0, err
	}
	defer config.Close()

	type outcome struct {
		pid int
		err error
	}
	done := make(chan outcome)
	go func() {
		// The thread gets namespaces of its own and ends with the goroutine,
		// because it is never unlocked: no mount outlives it but those that the
		// container took along, and none is ever the host's.
		runtime.LockOSThread()
		pid, err := l.launchHere(ctx, b, listener, config)
		done <- outcome{pid, err}
	}()
	o := <-done
	return o.pid, o.err
}

func (l *Local) launchHere(ctx context.Context, b *bundle, listener, config *os.File) (int, error) {
	if err := l.ownMounts(); err != nil {
		return 0, err
	}
	disk := l.disks.Path(b.spec.ID)
	root := filepath.Join(l.dir, rootTarget)
	err := rootfs.Mount(rootfs.Root{
		Layers: b.image.Layers, Disk: disk, IDMap: b.slot.IDMap,
		Target: root, DiskTarget: filepath.Join(l.dir, diskTarget), Stage: filepath.Join(l.dir, stageTarget),
	})
	if err != nil {
		return 0, err
	}
	if err := l.fillGuest(b, root); err != nil {
		return 0, err
	}
	if err := checkAccounts(root); err != nil {
		return 0, err
	}
	if err := fillVolumes(b, root, disk); err != nil {
		return 0, err
	}
	if err := l.writeSpec(b); err != nil {
		return 0, err
	}
	if l.clocks {
		if err := ownClock(); err != nil {
			return 0, err
		}
	}
	if err := l.enterAppArmor(); err != nil {
		return 0, err
	}
	return l.runtime.run(ctx, b.spec.ID, b.dir, listener, config)
}

// enterAppArmor keeps the host's AppArmor profiles off what this thread starts
// next. The thread must be locked.
func (l *Local) enterAppArmor() error {
	if l.apparmor == nil {
		return nil
	}
	return l.apparmor.Enter()
}

// listen makes the agent's socket. Requests wait in its backlog until the agent
// accepts them.
func listen(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the agent: %w", err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return l.File()
}

// bootConfig is the agent's configuration in a file of memory.
func (l *Local) bootConfig(b *bundle) (*os.File, error) {
	env := map[string]string{}
	if len(l.ExtraCA) > 0 {
		for _, name := range caVariables {
			env[name] = boot.CABundle
		}
	}
	for _, e := range b.image.Config.Env {
		if key, value, ok := strings.Cut(e, "="); ok {
			env[key] = value
		}
	}
	for key, value := range b.spec.Env {
		env[key] = value
	}
	config := boot.Config{
		SandboxID: b.spec.ID, User: b.spec.User, WorkDir: b.image.Config.WorkDir,
		Env: env, Entrypoint: b.spec.Entrypoint, Version: l.Version, Profile: boot.Profile,
	}
	if l.agentLimits {
		config.OpenFiles = l.openFiles()
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("daytona-boot", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("write the agent's configuration: %w", err)
	}
	f := os.NewFile(uintptr(fd), "daytona-boot")
	if _, err = f.Write(text); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the agent's configuration: %w", err)
	}
	return f, nil
}
