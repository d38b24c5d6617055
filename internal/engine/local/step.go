package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/rootfs"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// overPeriod is how often a step's Over is asked.
const overPeriod = 250 * time.Millisecond

// RunStep implements engine.StepRunner.
func (l *Local) RunStep(ctx context.Context, st engine.Step) (code int, err error) {
	s, err := l.slots.Take()
	if errors.Is(err, slot.ErrNone) {
		return 0, fmt.Errorf("%w: %w", engine.ErrNoSlot, err)
	}
	if err != nil {
		return 0, err
	}
	b := bundle{spec: engine.Spec{ID: st.ID, Hostname: st.Hostname, Resources: st.Resources}, slot: s, dir: l.sandboxDir(st.ID)}
	defer func() {
		s.CloseNamespaces()
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err = errors.Join(err, l.clear(cleanup, st.ID), os.RemoveAll(b.dir), l.slots.Release(s))
	}()
	if err := l.setUpStep(&b, st); err != nil {
		return 0, fmt.Errorf("prepare step %s: %w", st.ID, err)
	}
	type outcome struct {
		code int
		err  error
	}
	done := make(chan outcome)
	go func() {
		// As in launch: the thread has its own mounts and ends with them.
		runtime.LockOSThread()
		code, err := l.stepHere(ctx, &b, st)
		done <- outcome{code, err}
	}()
	o := <-done
	if o.err != nil {
		return 0, fmt.Errorf("run step %s: %w", st.ID, o.err)
	}
	switch {
	case o.code == 0: // it made do with what it had
	case l.cgroups.OOMKills(st.ID) > 0:
		return o.code, engine.ErrStepMemory
	case l.cgroups.ForksRefused(st.ID) > 0:
		return o.code, engine.ErrStepPIDs
	}
	return o.code, nil
}

// CheckReach implements engine.Engine.
func (l *Local) CheckReach(to netip.Addr) error { return l.slots.CheckReach(to) }

func (l *Local) setUpStep(b *bundle, st engine.Step) error {
	if err := os.MkdirAll(filepath.Join(b.dir, guestDir), 0o755); err != nil {
		return err
	}
	// What a killed server leaves is found by this.
	if err := l.writeState(st.ID, runState{Boot: l.boot, Slot: b.slot.Index}); err != nil {
		return err
	}
	for name, text := range map[string]string{"resolv.conf": l.resolver().text, "hosts": st.Hosts} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if _, err := l.applyNetwork(st.ID, b.slot, st.Network); err != nil {
		return err
	}
	return l.cgroups.Create(st.ID, b.slot.HostID)
}

func (l *Local) stepHere(ctx context.Context, b *bundle, st engine.Step) (_ int, err error) {
	if err := l.ownMounts(); err != nil {
		return 0, err
	}
	root := filepath.Join(l.dir, rootTarget)
	if err := rootfs.MountTree(treeAt(st.Root, root, filepath.Join(l.dir, stageTarget), b.slot.IDMap)); err != nil {
		return 0, err
	}
	dir, err := os.Open(root)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	g := guest{root: dir, owner: b.slot.HostID}
	if len(l.ExtraCA) > 0 {
		if err := l.trustStep(b, g); err != nil {
			return 0, err
		}
	}
	if err := checkAccounts(root); err != nil {
		return 0, err
	}
	user, after, err := st.Prepare(root)
	if err != nil {
		return 0, err
	}
	defer after()
	if err := g.makeAll(st.Cwd, b.slot.HostID+int(user.UID), b.slot.HostID+int(user.GID)); err != nil {
		return 0, fmt.Errorf("make the working directory %s: %w", st.Cwd, err)
	}
	spec, err := l.stepSpec(b, st, user)
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o600); err != nil {
		return 0, err
	}
	if err := l.enterAppArmor(); err != nil {
		return 0, err
	}
	return l.runStep(ctx, b, st, user)
}

// runStep runs the container in the foreground.
func (l *Local) runStep(ctx context.Context, b *bundle, st engine.Step, user engine.StepUser) (int, error) {
	log := filepath.Join(b.dir, "runtime.log")
	cmd := l.runtime.command(context.WithoutCancel(ctx), "--log", log, "--log-format", "json", "run", "--keep", "--bundle", b.dir, st.ID) // its cgroup tells which limit it met
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Stdin = st.Stdin
	var copies sync.WaitGroup
	var ends []*os.File // of the pipes, on the step's side
	for _, o := range []struct {
		to  io.Writer
		set *io.Writer
	}{{st.Stdout, &cmd.Stdout}, {st.Stderr, &cmd.Stderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		defer r.Close()
		ends = append(ends, w)
		defer w.Close()
		// Who runs may open /dev/stdout anew, which the pipe's owner decides.
		if err := w.Chown(b.slot.HostID+int(user.UID), b.slot.HostID+int(user.GID)); err != nil {
			return 0, err
		}
		*o.set = w
		copies.Go(func() { _, _ = io.Copy(o.to, r) })
	}
	closeEnds := func() {
		for _, w := range ends {
			w.Close()
		}
	}
	defer func() { closeEnds(); copies.Wait() }()
	var over error
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	kill := func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := l.removeGroup(cleanup, st.ID); err != nil {
			l.log(st.ID).Error("end a build step", "err", err)
		}
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	if err := cmd.Start(); err != nil {
		stop()
		return 0, err
	}
	closeEnds()
	watching.Go(func() {
		if over = watchOver(watched, st.Over); over != nil {
			kill()
		} else if ctx.Err() != nil {
			kill()
		}
	})
	err := cmd.Wait()
	stop()
	watching.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case over != nil:
		return 0, over
	case errors.As(err, &exit):
		if msg := lastError(log); msg != "" {
			return 0, fmt.Errorf("run container: %s", msg)
		}
		if st.Over != nil { // it may have failed because of it before it was asked
			if err := st.Over(); err != nil {
				return 0, err
			}
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// watchOver returns nil when ctx ends, and the error of over once there is one.
func watchOver(ctx context.Context, over func() error) error {
	wait := overPeriod
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		if over == nil {
			continue
		}
		began := time.Now()
		if err := over(); err != nil {
			return err
		}
		wait = max(overPeriod, 20*time.Since(began)) // where it takes long, it takes little of the machine
	}
}

func treeAt(t engine.Tree, target, stage string, idmap *os.File) rootfs.Tree {
	return rootfs.Tree{Layers: t.Layers, Upper: t.Upper, Work: t.Work, IDMap: idmap, Target: target, Stage: stage}
}

// trustStep writes the certificates that the step's root trusts, and the added
// ones.
func (l *Local) trustStep(b *bundle, g guest) error {
	own := g.read(bundles...)
	if own == nil {
		own = readFirst(bundles)
	}
	text := append(append(append([]byte{}, own...), '\n'), l.ExtraCA...)
	return os.WriteFile(filepath.Join(b.dir, guestDir, filepath.Base(boot.CABundle)), text, 0o644)
}

func (l *Local) stepSpec(b *bundle, st engine.Step, user engine.StepUser) (*specs.Spec, error) {
	spec := l.ociSpec(b)
	spec.Root.Readonly = st.ReadOnly
	spec.Process.Args, spec.Process.Cwd = st.Args, st.Cwd
	spec.Process.Env = append([]string{}, st.Env...)
	spec.Process.User = specs.User{UID: user.UID, GID: user.GID, AdditionalGids: user.Groups}
	if user.UID != 0 {
		spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities}
	}
	mounts := spec.Mounts[:0]
	for _, m := range spec.Mounts {
		if m.Destination != boot.Dir {
			mounts = append(mounts, m)
		}
	}
	for _, name := range []string{"resolv.conf", "hosts"} {
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: filepath.Join(b.dir, name), Options: []string{"bind", "nosuid", "nodev"}})
	}
	if len(l.ExtraCA) > 0 {
		mounts = append(mounts, specs.Mount{Destination: boot.Dir, Type: "bind", Source: filepath.Join(b.dir, guestDir), Options: []string{"bind", "ro", "nosuid", "nodev"}})
		for _, name := range caVariables {
			if !hasVariable(st.Env, name) {
				spec.Process.Env = append(spec.Process.Env, name+"="+boot.CABundle)
			}
		}
	}
	for i, m := range st.Mounts {
		mounted, err := l.mountStep(m, filepath.Join(b.dir, fmt.Sprintf("mount-%d", i)), b.slot)
		if err != nil {
			return nil, fmt.Errorf("mount at %s: %w", m.Target, err)
		}
		mounts = append(mounts, mounted)
	}
	spec.Mounts = mounts
	return spec, nil
}

func hasVariable(env []string, name string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			return true
		}
	}
	return false
}

// makeAll makes a directory and those above it, for uid and gid on the host.
func (g guest) makeAll(path string, uid, gid int) error {
	made := ""
	for part := range strings.SplitSeq(strings.Trim(filepath.Clean("/"+path), "/"), "/") {
		if part == "" {
			continue
		}
		parent, err := g.open("/"+made, unix.O_RDONLY|unix.O_DIRECTORY)
		if made == "" {
			parent, err = os.Open(g.root.Name())
		}
		if err != nil {
			return err
		}
		err = unix.Mkdirat(int(parent.Fd()), part, 0o755)
		if err == nil {
			err = unix.Fchownat(int(parent.Fd()), part, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
		} else if errors.Is(err, unix.EEXIST) {
			err = nil
		}
		parent.Close()
		if err != nil {
			return err
		}
		made = filepath.Join(made, part)
	}
	return nil
}

// ownMounts gives the thread mounts of its own, in which what lies in the
// runtime directory may be executed, the agent for one: distributions mount /run
// noexec, which a user namespace cannot take from what is bound into it.
func (l *Local) ownMounts() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(l.dir, l.dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the runtime directory: %w", err)
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, l.dir, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_NOEXEC}); err != nil {
		return fmt.Errorf("let the runtime directory be executed: %w", err)
	}
	return nil
}
