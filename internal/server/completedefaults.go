package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/space"
)

const (
	// fullNeeds is the space that the full image and its build take: it is 10 GiB
	// unpacked, and its layers are kept packed as well, and in the builds' cache.
	fullNeeds = 28 << 30

	completePause    = 10 * time.Minute
	maxCompletePause = 6 * time.Hour
)

// watchDefaults wakes completeDefaults when a default snapshot has moved.
func (s *server) watchDefaults() {
	s.defaultsMoved = make(chan struct{}, 1)
	s.snapshots.OnMoved(func(snap *snapshot.Snapshot) {
		if !slices.ContainsFunc(defaultSnapshots, func(d defaultSnapshot) bool { return d.name == snap.Name }) {
			return
		}
		select {
		case s.defaultsMoved <- struct{}{}:
		default: // it will look anyway
		}
	})
}

// completeDefaults replaces the slim image of the default snapshots by the full
// one, in the background: slim is there soon, and serves until full is. What
// fails, for want of disk space or of a network, is tried again after a pause.
func (s *server) completeDefaults(ctx context.Context) error {
	if s.DefaultImage != config.DefaultImageAuto {
		return nil
	}
	pause, pausing := s.machine.completePause, false
	wake := s.clock.NewTimer(0)
	defer wake.Stop()
	for {
		retry := false
		select {
		case <-wake.C():
			retry, pausing = true, false
		case <-s.defaultsMoved:
		case <-ctx.Done():
			return nil
		}
		err := s.completeNext(ctx, retry)
		if err == nil || ctx.Err() != nil || pausing {
			continue
		}
		s.log.Warn("the default snapshots stay slim for now", "err", err, "next attempt in", pause)
		wake.Reset(pause)
		pause, pausing = min(2*pause, maxCompletePause), true
	}
}

// completeNext begins to replace the first slim default snapshot once all are
// there, unless one is being replaced already. The others follow when that is
// done: they find the image built, and if the build fails, it has failed once. It
// returns why the last attempt failed, unless it is to be repeated.
func (s *server) completeNext(ctx context.Context, retry bool) error {
	if chosen, err := s.slimChosen(); chosen || err != nil {
		return err
	}
	slim, full := s.made.reference(recipes.Slim), s.made.reference(recipes.Full)
	var first *snapshot.Snapshot
	built := false
	for _, d := range defaultSnapshots {
		snap, err := s.snapshots.Get(ctx, "", d.name)
		if fault.Is(err, fault.KindNotFound) {
			continue // deleted
		}
		if err != nil {
			return fmt.Errorf("look for default snapshot %s: %w", d.name, err)
		}
		if snap.ImageName == full && snap.State == snapshot.StateActive {
			built = true
		}
		if !snap.General || snap.ImageName != slim {
			continue
		}
		if !snap.State.Settled() || snap.Next != nil && !snap.Next.State.Failed() {
			return nil // it goes on, and wakes us at its end
		}
		if snap.State == snapshot.StateActive && first == nil {
			first = snap
		}
	}
	if first == nil {
		return nil
	}
	if first.Next != nil && !retry {
		return fmt.Errorf("make %s of %s: %s", first.Name, first.Next.ImageName, first.Next.ErrorReason)
	}
	if !built && space.Require(s.DataDir, s.machine.fullNeeds, space.Reserve) != nil {
		return fmt.Errorf("%s takes %d GiB of disk space while it is built, which %s has not", full, s.machine.fullNeeds>>30, s.DataDir)
	}
	s.log.Info("making a default snapshot of the full image in the background; it serves as it is until then", "snapshot", first.Name, "image", full)
	if _, err := s.snapshots.Update(ctx, "", first.ID, true, snapshot.CreateParams{ImageName: full}); err != nil {
		return fmt.Errorf("make default snapshot %s full: %w", first.Name, err)
	}
	return nil
}

// slimChosen reports whether an administrator asked for the slim image.
func (s *server) slimChosen() (bool, error) {
	none, err := missing(s.Below(config.SlimChosenName))
	if err != nil {
		return false, fmt.Errorf("look which image was chosen: %w", err)
	}
	return !none, nil
}

// chooseVariant remembers in the data directory which variant of the default
// image was asked for, for completeDefaults.
func chooseVariant(c config.Config, variant string) error {
	mark := c.Below(config.SlimChosenName)
	if variant == recipes.Slim {
		return durable.WriteFile(mark, []byte("The slim image was asked for; without this file the server makes the default snapshots full.\n"), 0o600)
	}
	err := os.Remove(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.SyncDir(c.DataDir)
	}
	return err
}
