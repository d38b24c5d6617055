package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/instance"
	"github.com/opendaytona/daytona/internal/image"
)

// trialDir is the data directory of an engine that only probes. It lies on the
// filesystem of the data directory it stands for. Its name is always the same,
// so that the next check finds what a killed one has left.
const trialDir = ".daytona-check"

// trialDisks is the size of the pool's file, which takes what is written.
const trialDisks = 1 << 30

// Try probes the machine before there is a server on it, or beside one: by an
// engine with a data directory and an instance of its own, which it ends and
// removes. The settings of the machine stay as they are.
func Try(ctx context.Context, o Options) []Requirement {
	ctx, cancel := context.WithTimeoutCause(ctx, ProbeTime, errProbeTime)
	defer cancel()
	o = trialOptions(o)
	p := &probe{Local: &Local{Options: o}}
	place, err := lockPlace(ctx, existing(o.DataDir))
	if err != nil {
		return []Requirement{p.outcome("engine", "", err)}
	}
	defer place.Close()
	if err := freeTrials(ctx, o, place.Name()); err != nil {
		return []Requirement{p.outcome("engine", "", fmt.Errorf("free what an earlier check left: %w", err))}
	}
	o.DataDir = filepath.Join(place.Name(), trialDir)
	if err := os.Mkdir(o.DataDir, 0o711); err != nil {
		return []Requirement{p.outcome("engine", "", err)}
	}
	l, err := Open(ctx, o)
	if err != nil {
		return []Requirement{p.outcome("engine", "", errors.Join(err, os.RemoveAll(o.DataDir)))}
	}
	all := append([]Requirement{{Name: "engine", OK: true, Detail: "opens, with network slots and control groups"}}, l.Probe(ctx)...)
	if err := endTrial(ctx, l); err != nil {
		all = append(all, p.outcome("engine's end", "", err))
	}
	return all
}

func trialOptions(o Options) Options {
	o.DiskSize, o.Slots, o.NoIPv6, o.Sysctls, o.Trial = trialDisks, 1, true, false, true
	o.Images, o.Log = noImages{}, slog.New(slog.DiscardHandler)
	if o.RuntimeDir == "" {
		o.RuntimeDir = DefaultRuntimeDir
	}
	return o
}

// noImages is for an engine that starts nothing but its probe.
type noImages struct{}

// Image is Images.
func (noImages) Image(_ context.Context, digest string) (*image.Image, error) {
	return nil, fmt.Errorf("image %s: %w", digest, image.ErrNotFound)
}

// endTrial frees all that the engine has, and its data directory.
func endTrial(ctx context.Context, l *Local) error {
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := errors.Join(l.Purge(cleanup), l.Close())
	if err != nil {
		return err // the next check needs it
	}
	return os.RemoveAll(l.DataDir)
}

// existing is the nearest directory that exists: path or one above it.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == "/" || path == "." {
			return path
		}
		path = filepath.Dir(path)
	}
}

// lockPlace makes sure that one check at a time uses a directory. The lock is on
// the directory itself and leaves nothing behind.
func lockPlace(ctx context.Context, path string) (*os.File, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another check that uses %s: %w", path, context.Cause(ctx))
		}
	}
}

// freeTrials frees what checks that were killed have left: those whose engine
// has an index, and those whose data directory is in or above that of o. The
// caller has the lock of place; those of others are busy while a check runs.
func freeTrials(ctx context.Context, o Options, place string) error {
	owners, err := instance.Owners(filepath.Join(o.RuntimeDir, instancesDir))
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(owners, func(path string) bool { return filepath.Base(path) != trialDir })
	for dir := place; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, trialDir)
		if _, err := os.Lstat(path); err == nil && !slices.Contains(left, path) {
			left = append(left, path)
		}
		if dir == "/" {
			break
		}
	}
	for _, path := range left {
		if err := freeTrial(ctx, o, path, place); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func freeTrial(ctx context.Context, o Options, path, place string) error {
	dir := filepath.Dir(path)
	above := existing(dir)
	if dir != place {
		f, err := os.Open(above)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			return nil // a check runs there
		} else if err != nil {
			return err
		}
	}
	o.DataDir = path
	l, err := Open(ctx, o)
	if err != nil {
		return err
	}
	err = endTrial(ctx, l)
	for ; err == nil && dir != above; dir = filepath.Dir(dir) { // somebody had removed them
		err = os.Remove(dir)
	}
	return err
}
