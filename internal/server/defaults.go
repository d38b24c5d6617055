package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// defaultSnapshots are what every organization may use from the first start on:
// cores, and GiB of memory and disk.
var defaultSnapshots = []defaultSnapshot{
	{"daytona-small", snapshot.Resources{CPU: 1, Memory: 1, Disk: 3}},
	{"daytona-medium", snapshot.Resources{CPU: 2, Memory: 4, Disk: 8}},
	{"daytona-large", snapshot.Resources{CPU: 4, Memory: 8, Disk: 10}},
}

type defaultSnapshot struct {
	name      string
	resources snapshot.Resources
}

// recordDefaults records the default snapshots at the first start, and anew
// those that failed at an earlier one or are of an older server's image, which
// serve until then. The reconciler makes them, and sandboxes that need one wait
// for it; so it is done before the first request. A mark in the data directory
// says that it was done: a snapshot that an administrator
// deletes does not come back.
func (s *server) recordDefaults(ctx context.Context) error {
	if s.DefaultImage == config.DefaultImageNone {
		return nil
	}
	mark := s.Below(config.DefaultsName)
	first, err := missing(mark)
	if err != nil {
		return fmt.Errorf("look for the default snapshots: %w", err)
	}
	for _, d := range defaultSnapshots {
		image := s.defaultReference()
		snap, err := s.snapshots.Get(ctx, "", d.name)
		switch {
		case err != nil && !fault.Is(err, fault.KindNotFound):
			return fmt.Errorf("look for default snapshot %s: %w", d.name, err)
		case err == nil && snap.General && snap.State != snapshot.StateRemoving && (snap.State.Failed() && snap.OrganizationID == "" || s.made.successor(snap.ImageName) != ""):
			if next := s.made.successor(snap.ImageName); next != "" {
				image = next
			}
			if snap.Next != nil && snap.Next.ImageName == image && !snap.Next.State.Failed() {
				continue // it goes on
			}
			s.log.Warn("making a default snapshot anew", "snapshot", d.name, "failed", snap.ErrorReason, "image", snap.ImageName, "now", image)
			if _, err := s.snapshots.Update(ctx, "", snap.ID, true, snapshot.CreateParams{ImageName: image}); err != nil {
				return fmt.Errorf("replace default snapshot %s: %w", d.name, err)
			}
			continue
		case err == nil && snap.State != snapshot.StateRemoving, !first:
			continue
		}
		_, err = s.snapshots.Create(ctx, "", true, snapshot.CreateParams{
			Name: d.name, ImageName: image, Entrypoint: snapshot.DefaultEntrypoint, RegionID: s.Region,
			CPU: &d.resources.CPU, Memory: &d.resources.Memory, Disk: &d.resources.Disk,
		})
		if err != nil {
			return fmt.Errorf("record default snapshot %s: %w", d.name, err)
		}
		s.log.Info("making a default snapshot in the background", "snapshot", d.name, "image", image)
	}
	if !first {
		return nil
	}
	if err := durable.WriteFile(mark, []byte("The default snapshots were recorded; without this file the next start records those that are missing.\n"), 0o600); err != nil {
		return fmt.Errorf("remember the default snapshots: %w", err)
	}
	return nil
}

func missing(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}
