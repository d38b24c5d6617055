package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
	"github.com/opendaytona/daytona/internal/engine/local/rootfs"
)

// capturePrefix marks the disks that are captures; no sandbox's id begins so.
const capturePrefix = "capture-"

func isCapture(id string) bool { return strings.HasPrefix(id, capturePrefix) }

// freezePatience is how long the processes of a sandbox may take to stand. One
// that waits for a device in the kernel does not; the copy is made without it.
const freezePatience = 20 * time.Millisecond

// copyDisk copies a sandbox's disk at one moment of it. The caller holds no
// lock of from; a stop or removal of it waits for the copy.
func (l *Local) copyDisk(ctx context.Context, from, to string, limit int64) error {
	if l.disks.Exists(to) {
		return nil
	}
	unlock, err := l.lock(ctx, from)
	if err != nil {
		return err
	}
	defer unlock()
	l.mu.Lock()
	running := l.running[from] != nil
	l.mu.Unlock()
	hold := func() (func(), error) { return func() {}, nil }
	if running {
		f, err := l.cgroups.Freezer(from)
		switch {
		case errors.Is(err, cgroup.ErrNoFreezer):
			l.log(from).Warn("copying the disk of a sandbox that cannot be frozen", "err", err)
		case err != nil:
			return err
		default:
			defer f.Close()
			hold = func() (func(), error) { return l.freeze(ctx, from, f), nil }
		}
	}
	if err := l.usable(); err != nil {
		return err
	}
	err = l.disks.Copy(ctx, from, to, limit, hold)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	return err
}

// freeze stops the sandbox and returns how to let it go on. One that does not
// stand is copied as a machine that loses power is: what was synced is there.
func (l *Local) freeze(ctx context.Context, id string, f *cgroup.Freezer) (thaw func()) {
	began := time.Now()
	if err := f.Freeze(ctx, freezePatience); err != nil {
		l.log(id).Warn("copying the disk of a running sandbox", "err", err)
		return func() {}
	}
	return func() {
		if err := f.Thaw(); err != nil {
			l.log(id).Error("thaw", "err", err)
		}
		l.log(id).Debug("frozen for a copy of the disk", "took", time.Since(began))
	}
}

// Capture implements engine.Engine.
func (l *Local) Capture(ctx context.Context, id, name string) error {
	unlock, err := l.lock(ctx, capturePrefix+name)
	if err != nil {
		return err
	}
	defer unlock()
	err = l.copyDisk(ctx, id, capturePrefix+name, 0)
	if err == nil {
		err = l.disks.Sync(capturePrefix + name)
	}
	if errors.Is(err, disk.ErrFull) {
		err = fmt.Errorf("%w: %w", engine.ErrNoSpace, err)
	}
	if err != nil {
		return fmt.Errorf("capture sandbox %s: %w", id, err)
	}
	return nil
}

// Captures implements engine.Engine.
func (l *Local) Captures(context.Context) ([]string, error) {
	ids, err := l.disks.List()
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	var names []string
	for _, id := range ids {
		if isCapture(id) {
			names = append(names, strings.TrimPrefix(id, capturePrefix))
		}
	}
	return names, nil
}

// Discard implements engine.Engine.
func (l *Local) Discard(ctx context.Context, name string) error {
	unlock, err := l.lock(ctx, capturePrefix+name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.usable(); err != nil {
		return fmt.Errorf("discard capture %s: %w", name, err)
	}
	return l.disks.Delete(capturePrefix + name)
}

// Changes implements engine.Engine.
func (l *Local) Changes(ctx context.Context, name, image string, layer io.Writer) error {
	img, err := l.image(ctx, image)
	if err != nil {
		return fmt.Errorf("changes of capture %s: %w", name, err)
	}
	unlock, err := l.lock(ctx, capturePrefix+name)
	if err != nil {
		return err
	}
	defer unlock()
	if !l.disks.Exists(capturePrefix + name) {
		return fmt.Errorf("changes of capture %s: %w", name, engine.ErrNotFound)
	}
	done := make(chan error)
	go func() {
		// As in launch: the thread has its own mounts and ends with them.
		runtime.LockOSThread()
		done <- l.changesHere(ctx, l.disks.Path(capturePrefix+name), img.Layers, img.Config.Volumes, layer)
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("changes of capture %s: %w", name, err)
	}
	return nil
}

// unkept are the paths that every sandbox gets anew, and those of container
// engines, whose own overlays cannot be told from ours in a layer.
var unkept = append([]string{"/.daytona", "/proc", "/sys", "/dev", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"}, nested...)

// changesHere compares the image with the image below the disk, both mounted
// read-only with the ids of the disk. That it is the kernel that merges them
// makes it right for all that overlayfs can write into an upper directory.
func (l *Local) changesHere(ctx context.Context, at string, layers, volumes []string, layer io.Writer) error {
	if err := l.ownMounts(); err != nil {
		return err
	}
	below, above, stage := filepath.Join(l.dir, diskTarget), filepath.Join(l.dir, rootTarget), filepath.Join(l.dir, stageTarget)
	if err := rootfs.MountTree(rootfs.Tree{Layers: layers, Target: below, Stage: stage}); err != nil {
		return err
	}
	if err := rootfs.MountTree(rootfs.Tree{Layers: append([]string{filepath.Join(at, disk.Upper)}, layers...), Target: above, Stage: stage}); err != nil {
		return err
	}
	root, err := os.Open(above)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, v := range volumes {
		if err := showVolume(guest{root: root}, at, path.Clean("/"+v)); err != nil {
			return fmt.Errorf("volume %s: %w", v, err)
		}
	}
	base, err := os.Open(below)
	if err != nil {
		return err
	}
	defer base.Close()
	// The walk goes on in threads that do not have these mounts: by descriptor
	// it comes to them all the same.
	from, to := fmt.Sprintf("/proc/self/fd/%d/.", base.Fd()), fmt.Sprintf("/proc/self/fd/%d/.", root.Fd())
	w := archive.NewChangeWriter(layer, to)
	err = continuity.Changes(ctx, from, to, func(kind continuity.ChangeKind, name string, info os.FileInfo, err error) error {
		if err == nil && slices.ContainsFunc(unkept, func(u string) bool { return name == u || strings.HasPrefix(name, u+"/") }) {
			return nil
		}
		return w.HandleChange(kind, name, info, err)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// showVolume mounts a volume's data where the sandbox sees it. The place is
// opened within the root, whatever links the sandbox has put in its way.
func showVolume(g guest, at, volume string) error {
	data := filepath.Join(at, volumeDir(volume))
	if slices.Contains(nested, volume) {
		return nil
	}
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		return nil // never started, or no place for a volume
	}
	place, err := g.open(volume, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer place.Close()
	return unix.Mount(data, fmt.Sprintf("/proc/self/fd/%d", place.Fd()), "", unix.MS_BIND, "")
}
