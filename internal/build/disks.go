package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/space"
)

// Errors of a build that met its limits.
var (
	ErrStepDisk  = errors.New("it wrote more than a build step may (build-disk)")
	ErrBuildDisk = errors.New("its organization's builds, with their cache mounts, may hold no more disk space together (build-disk and build-cache); the cache has been freed: try again, and if this stays, write less in the build")
)

// room is how close to its limit a disk is full: some writes are refused before,
// by what the filesystem needs for itself.
const room = 8 << 20

// disks are those that one scope's builds write to.
type disks struct {
	engine.BuildDisks
	owner     string // a name for the scope
	most, all int64  // that one may take, and all of them together
	maxSize   int64  // that an image may take, and the files it may have
	maxFiles  int64
	kept      *kept

	mu      sync.Mutex
	last    int             // the number of the build that began last
	running map[int]bool    // by the number
	charges map[int]*charge // what was made while that build was the last
}

// charge is what builds have put into the image store. What is made while some
// run is any one's of them, and counts until all of them have ended.
type charge struct{ size, files int64 }

// kept are the disks that no snapshot needs and that stay while builds run: the
// files that these may copy, and what has become a layer already.
type kept struct {
	mu    sync.Mutex
	disks map[string]keeping // by their names
}

type keeping struct {
	owner string
	until int // the build with this number and all before it have ended; 0 is for ever
}

func (k *kept) add(name string, until keeping) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.disks == nil {
		k.disks = make(map[string]keeping)
	}
	k.disks[name] = until
}

func (k *kept) drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.disks, name)
}

func (k *kept) has(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.disks[name]
	return ok
}

// over lists those that an owner's builds before first were the last to need.
func (k *kept) over(owner string, first int) (names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, d := range k.disks {
		if d.owner == owner && d.until > 0 && d.until < first {
			names = append(names, name)
		}
	}
	return names
}

// ownScope is the owner of the disks of the server's own builds.
const ownScope = "server"

func (b *Builder) openDisks(ctx context.Context, scope string) (*disks, error) {
	d := &disks{
		BuildDisks: b.Disks, owner: "of-" + scope, most: b.Resources.Disk, maxSize: b.Images.MaxSize, maxFiles: b.Images.MaxFiles, kept: &b.kept,
		running: make(map[int]bool), charges: make(map[int]*charge),
	}
	if scope == "" {
		d.owner = ownScope
	}
	size, err := d.Size()
	if err != nil {
		return nil, err
	}
	// A cache that is full leaves a build what one may write; the sandboxes keep
	// half of the pool from any one organization's builds. The server's own are no
	// stranger's.
	d.all = b.Resources.Disk + b.CacheSize
	if scope != "" {
		d.all = min(d.all, size/2)
	}
	inForce, err := d.Bound(ctx, d.owner, d.all)
	if err == nil && inForce < d.all {
		b.Log.Warn("the builds of an organization keep a lower limit: the disk pool may not promise them more until their cache or sandboxes are deleted",
			"scope", scope, "bytes", inForce, "wanted", d.all)
		d.all = inForce
	}
	return d, err
}

// over tells whether one of the named disks, or all of the scope, are at their
// limit.
func (d *disks) over(names []string) error {
	if d.Failed() {
		return engine.ErrPoolFailed
	}
	for _, name := range names {
		if used, err := d.Used(name); err == nil && used > d.most-room {
			return ErrStepDisk
		}
	}
	if used, err := d.OwnerUsed(d.owner); err == nil && used > d.all-room {
		return ErrBuildDisk
	}
	if free, err := d.Free(); err == nil && free < poolReserve {
		return space.ErrLow
	}
	return nil
}

// watch returns how to tell whether a step has come to a limit.
func (d *disks) watch(step engine.Step) func() error {
	var names []string
	add := func(tree engine.Tree) {
		if name, ok := d.NameAt(tree.Upper); ok {
			names = append(names, name)
		}
	}
	if !step.ReadOnly {
		add(step.Root)
	}
	for _, m := range step.Mounts {
		if m.ReadOnly {
			continue
		}
		switch source := m.Source.(type) {
		case engine.Tree:
			add(source)
		case engine.TreePart:
			add(source.Tree)
		}
	}
	return func() error { return d.over(names) }
}

// explain tells which limit a write met that was refused, in the words of people.
func (d *disks) explain(err error) error {
	if err == nil || limit(err) != nil || !errors.Is(err, unix.EDQUOT) && !strings.Contains(err.Error(), unix.EDQUOT.Error()) {
		return err
	}
	if used, usedErr := d.OwnerUsed(d.owner); usedErr == nil && used > d.all-room {
		return errors.Join(err, ErrBuildDisk)
	}
	return errors.Join(err, ErrStepDisk)
}

// poolReserve is what builds leave of the pool to the sandboxes when all have
// less together than they were promised.
const poolReserve = 256 << 20

// begin counts a build in; its end must be told by the number.
func (d *disks) begin() (number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.running[d.last] = true
	return d.last
}

// end counts a build out, and frees what no other may be reading.
func (d *disks) end(ctx context.Context, number int) error {
	d.mu.Lock()
	delete(d.running, number)
	first := d.last + 1
	for n := range d.running {
		first = min(first, n)
	}
	for n := range d.charges {
		if n < first {
			delete(d.charges, n)
		}
	}
	d.mu.Unlock()
	var errs []error
	for _, name := range d.kept.over(d.owner, first) {
		errs = append(errs, d.free(ctx, name))
	}
	return errors.Join(errs...)
}

// take is image.Take of the builds that run.
func (d *disks) take(size, files int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.charges[d.last]
	if c == nil {
		c = &charge{}
		d.charges[d.last] = c
	}
	c.size, c.files = c.size+size, c.files+files
	var all charge
	for _, c := range d.charges {
		all.size, all.files = all.size+c.size, all.files+c.files
	}
	n := int64(max(1, len(d.running)))
	return image.TooLarge(all.size, all.files, n*d.maxSize, n*d.maxFiles)
}

func (d *disks) free(ctx context.Context, name string) error {
	err := d.Delete(ctx, name)
	if err == nil {
		d.kept.drop(name)
	}
	return err
}

// contextDisk makes a disk for the files that a build may copy, and returns
// where they belong.
func (d *disks) contextDisk(ctx context.Context, build string) (dir string, free func() error, err error) {
	name := "context-" + build
	d.kept.add(name, keeping{owner: d.owner})
	free = func() error { return d.free(context.WithoutCancel(ctx), name) }
	if err := d.Create(ctx, d.owner, name, d.most); err != nil {
		return "", nil, errors.Join(err, free())
	}
	dir, _ = d.Dirs(name)
	return dir, free, nil
}

// sweep frees the disks whose snapshots are gone: the image store collects
// snapshots and knows nothing of disks.
func (b *Builder) sweep(ctx context.Context) error {
	names, err := b.Disks.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if b.kept.has(name) {
			continue
		}
		_, err := b.shared.Snapshotter.Stat(in(ctx), name)
		if errdefs.IsNotFound(err) && !b.kept.has(name) {
			err = b.Disks.Delete(ctx, name)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("free a disk of builds: %w", err))
		}
	}
	return errors.Join(errs...)
}

// settleTime is how long what a failed build has left may take to go, and
// settlePeriod how often it is looked for.
const (
	settleTime   = 10 * time.Second
	settlePeriod = 100 * time.Millisecond
)

// clear frees all that the scope's builds have left, so that the next one has
// room. BuildKit lets go of what a failed build was writing a moment after the
// build has ended.
func (b *Builder) clear(ctx context.Context, scope string) error {
	c, leave, err := b.use(ctx, scope)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		err := errors.Join(b.prune(ctx, scope, true), b.Images.Collect(ctx), b.sweep(ctx), b.Disks.Settle(ctx))
		if err != nil || c.disks.otherBuilds() {
			return err
		}
		if used, err := b.Disks.OwnerUsed(c.disks.owner); err != nil || used <= room {
			return err
		}
		select {
		case <-time.After(settlePeriod):
		case <-ctx.Done():
			return fmt.Errorf("free what builds have left: %w", ctx.Err())
		}
	}
}

// otherBuilds tells whether builds run beside the one that asks.
func (d *disks) otherBuilds() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.running) > 1
}

// snapshotter is the image store's, but that what builds write is on disks while
// it is written. Layers that come from registries are unpacked in the image store
// at once, which counts what it unpacks; what a step or a copy has written is moved
// there when it is whole. Cache mounts never are.
type snapshotter struct {
	snapshots.Snapshotter
	*disks
}

// onDisk marks the snapshots that have a disk.
const onDisk = "daytona.internal/disk"

// unpacks tells whether BuildKit unpacks a layer under the key.
func unpacks(key string) bool { return strings.HasPrefix(key, "extract-") }

// Prepare implements snapshots.Snapshotter.
func (s snapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	if unpacks(key) {
		return s.Snapshotter.Prepare(ctx, key, parent, opts...)
	}
	mounts, err := s.Snapshotter.Prepare(ctx, key, parent, append(opts, snapshots.WithLabels(map[string]string{onDisk: "true"}))...)
	if err != nil {
		return nil, err
	}
	if err := s.Create(ctx, s.owner, key, s.most); err != nil {
		return nil, errors.Join(err, s.Remove(context.WithoutCancel(ctx), key))
	}
	return s.through(key, mounts), nil
}

// Mounts implements snapshots.Snapshotter.
func (s snapshotter) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	mounts, err := s.Snapshotter.Mounts(ctx, key)
	if err != nil || unpacks(key) {
		return mounts, err
	}
	info, err := s.Stat(ctx, key)
	if err != nil || info.Kind != snapshots.KindActive {
		return mounts, err
	}
	switch {
	case s.Exists(key):
	case info.Labels[onDisk] == "":
		if err := s.moveOut(ctx, info, mounts); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("the disk of %s: %w", key, errdefs.ErrNotFound)
	}
	return s.through(key, mounts), nil
}

// Commit implements snapshots.Snapshotter. It may be repeated after a crash.
func (s snapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	if unpacks(key) || !s.Exists(key) {
		return s.Snapshotter.Commit(ctx, name, key, opts...)
	}
	mounts, err := s.Snapshotter.Mounts(ctx, key)
	if err != nil {
		return err
	}
	layer, err := image.Writable(mounts)
	if err != nil {
		return err
	}
	upper, _ := s.Dirs(key)
	if err := moveTree(ctx, layer, upper, s.take); err != nil {
		return fmt.Errorf("keep what was written: %w", err)
	}
	// Somebody may be reading it where it was.
	s.mu.Lock()
	until := s.last
	s.mu.Unlock()
	s.kept.add(key, keeping{s.owner, until})
	if err := s.Snapshotter.Commit(ctx, name, key, opts...); err != nil {
		s.kept.drop(key)
		return err
	}
	return nil
}

// Remove implements snapshots.Snapshotter.
func (s snapshotter) Remove(ctx context.Context, key string) error {
	err := s.Snapshotter.Remove(ctx, key)
	if unpacks(key) || err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return errors.Join(err, s.Delete(ctx, key))
}

// Usage implements snapshots.Snapshotter.
func (s snapshotter) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	if unpacks(key) || !s.Exists(key) {
		return s.Snapshotter.Usage(ctx, key)
	}
	n, err := s.Used(key)
	return snapshots.Usage{Size: n}, err
}

// moveOut gives a disk to a snapshot of a server that had none.
func (s snapshotter) moveOut(ctx context.Context, info snapshots.Info, mounts []mount.Mount) error {
	layer, err := image.Writable(mounts)
	if err != nil {
		return err
	}
	if err := s.Create(ctx, s.owner, info.Name, s.most); err != nil {
		return err
	}
	upper, _ := s.Dirs(info.Name)
	err = moveTree(ctx, upper, layer, image.Limited(0, 0))
	if err == nil {
		info.Labels = map[string]string{onDisk: "true"}
		_, err = s.Update(ctx, info, "labels."+onDisk)
	}
	if err != nil {
		return errors.Join(err, s.Delete(context.WithoutCancel(ctx), info.Name))
	}
	return clearDir(layer)
}

// through is the mounts with the disk in place of the snapshot's own directories.
func (s snapshotter) through(key string, mounts []mount.Mount) []mount.Mount {
	upper, work := s.Dirs(key)
	out := make([]mount.Mount, len(mounts))
	for i, m := range mounts {
		if m.Type == "bind" {
			m.Source = upper
		}
		options := make([]string, len(m.Options))
		for j, o := range m.Options {
			switch {
			case strings.HasPrefix(o, "upperdir="):
				o = "upperdir=" + upper
			case strings.HasPrefix(o, "workdir="):
				o = "workdir=" + work
			}
			options[j] = o
		}
		m.Options = options
		out[i] = m
	}
	return out
}

// clearDir removes all that is in a directory.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(dir + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}
