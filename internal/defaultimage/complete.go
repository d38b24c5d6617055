package defaultimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Moved is a queue of one: whether a default snapshot has moved since it was looked
// at last.
type Moved chan struct{}

func NewMoved() Moved { return make(Moved, 1) }

// SnapshotMoved is called when a snapshot of that name has changed its state.
func (m Moved) SnapshotMoved(name string) {
	if !slices.ContainsFunc(Defaults, func(d Default) bool { return d.Name == name }) {
		return
	}
	select {
	case m <- struct{}{}:
	default: // it will be looked at anyway
	}
}

// Complete replaces the slim image of the default snapshots by the full
// one, in the background: slim is there soon, and serves until full is. What
// fails, for want of disk space or of a network, is tried again after a pause.
func (s *Snapshots) Complete(ctx context.Context) error {
	if s.Image.Setting != config.DefaultImageAuto {
		return nil
	}
	pause, pausing := s.Image.CompletePause, false
	wake := s.Clock.NewTimer(0)
	defer wake.Stop()
	for {
		retry := false
		select {
		case <-wake.C():
			retry, pausing = true, false
		case <-s.Moved:
		case <-ctx.Done():
			return nil
		}
		err := s.CompleteNext(ctx, retry)
		if err == nil || ctx.Err() != nil || pausing {
			continue
		}
		s.Log.Warn("the default snapshots stay slim for now", "err", err, "next attempt in", pause)
		wake.Reset(pause)
		pause, pausing = min(2*pause, maxCompletePause), true
	}
}

// CompleteNext begins to replace the first slim default snapshot once all are
// there, unless one is being replaced already. The others follow when that is
// done: they find the image built, and if the build fails, it has failed once. It
// returns why the last attempt failed, unless it is to be repeated.
func (s *Snapshots) CompleteNext(ctx context.Context, retry bool) error {
	if chosen, err := s.slimChosen(); chosen || err != nil {
		return err
	}
	slim, full := s.Image.Reference(recipes.Slim), s.Image.Reference(recipes.Full)
	var first *snapshot.Snapshot
	built := false
	for _, d := range Defaults {
		snap, err := s.Snapshots.Get(ctx, "", d.Name)
		if fault.Is(err, fault.KindNotFound) {
			continue // deleted
		}
		if err != nil {
			return fmt.Errorf("look for default snapshot %s: %w", d.Name, err)
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
	if !built && space.Require(s.DataDir, s.Image.FullNeeds, space.Reserve) != nil {
		return fmt.Errorf("%s takes %d GiB of disk space while it is built, which %s has not", full, s.Image.FullNeeds>>30, s.DataDir)
	}
	s.Log.Info("making a default snapshot of the full image in the background; it serves as it is until then", "snapshot", first.Name, "image", full)
	if _, err := s.Snapshots.Update(ctx, "", first.ID, true, snapshot.CreateParams{ImageName: full}); err != nil {
		return fmt.Errorf("make default snapshot %s full: %w", first.Name, err)
	}
	return nil
}

// slimChosen reports whether an administrator asked for the slim image.
func (s *Snapshots) slimChosen() (bool, error) {
	none, err := config.Missing(filepath.Join(s.DataDir, config.SlimChosenName))
	if err != nil {
		return false, fmt.Errorf("look which image was chosen: %w", err)
	}
	return !none, nil
}

// ChooseVariant remembers in the data directory which variant of the default
// image was asked for, for complete.
func ChooseVariant(dataDir, variant string) error {
	mark := filepath.Join(dataDir, config.SlimChosenName)
	if variant == recipes.Slim {
		return durable.WriteFile(mark, []byte("The slim image was asked for; without this file the server makes the default snapshots full.\n"), 0o600)
	}
	err := os.Remove(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.SyncDir(dataDir)
	}
	return err
}
