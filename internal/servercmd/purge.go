package servercmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/image"
)

// Purge stops the sandboxes of a data directory that no server runs on, and
// releases what they use on the machine. With data it also deletes the directory.
// Purging a missing directory is a no-op.
func Purge(ctx context.Context, c config.Config, version string, data bool, log *slog.Logger) (err error) {
	isNone, err := config.Missing(c.DataDir)
	if err != nil || isNone {
		return err
	}
	if data {
		// A mistyped --data-dir must not cost somebody their home directory.
		isNone, err := config.Missing(c.Below(config.DatabaseName))
		if err == nil && isNone { // it may have been PostgreSQL's
			isNone, err = config.Missing(c.Below(config.LineageName))
		}
		if err == nil && isNone {
			err = fmt.Errorf("it contains neither %s nor %s", config.DatabaseName, config.LineageName)
		}
		if err != nil {
			return fmt.Errorf("%s is not a server's data directory and will not be deleted: %w", c.DataDir, err)
		}
	}
	dir, err := config.ClaimDataDir(c.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := purgeEngine(ctx, c, dir.Path, version, log); err != nil {
		return fmt.Errorf("purge %s: %w", dir.Path, err)
	}
	if !data {
		return nil
	}
	if err := unmounted(dir.Path); err != nil {
		return fmt.Errorf("delete %s: %w", dir.Path, err)
	}
	return deleteData(dir.Path, log)
}

// deleteData deletes the directory, or its content if it is a mount point.
func deleteData(path string, log *slog.Logger) error {
	err := os.RemoveAll(path)
	if errors.Is(err, unix.EBUSY) {
		if left, readErr := os.ReadDir(path); readErr == nil && len(left) == 0 {
			log.Warn("the data directory is a mount point: it was emptied, and stays until you unmount it", "path", path)
			return nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete data directory: %w", err)
	}
	return nil
}

// purgeDiskSize is the least that a pool may have: one that is there is larger and
// stays as it is.
const purgeDiskSize = 512 << 20

func purgeEngine(ctx context.Context, c config.Config, path, version string, log *slog.Logger) (err error) {
	e, err := local.Open(ctx, local.Options{
		DataDir: path, RuntimeDir: c.RuntimeDir, Images: noImages{}, Runtime: c.Runtime, DiskSize: purgeDiskSize, Subnet: c.Subnet, NoIPv6: true, Version: version, Log: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.Purge(ctx)
}

// noImages is the image store of an engine that starts nothing.
type noImages struct{}

// Image is local.Images.
func (noImages) Image(_ context.Context, digest string) (*image.Image, error) {
	return nil, fmt.Errorf("image %s: %w", digest, image.ErrNotFound)
}

// unmounted returns an error if a filesystem is mounted below path, so that deleting
// path does not delete from it.
func unmounted(path string) error {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, path+"/"), false
	})
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is still mounted: unmount it, then try again", mounts[0].Mountpoint)
	}
	return nil
}
