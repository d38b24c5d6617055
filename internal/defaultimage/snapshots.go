package defaultimage

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Defaults are what every organization may use from the first start on:
// cores, and GiB of memory and disk.
var Defaults = []Default{
	{"daytona-small", snapshot.Resources{CPU: 1, Memory: 1, Disk: 3}},
	{"daytona-medium", snapshot.Resources{CPU: 2, Memory: 4, Disk: 8}},
	{"daytona-large", snapshot.Resources{CPU: 4, Memory: 8, Disk: 10}},
}

// Default is one of them.
type Default struct {
	Name      string
	Resources snapshot.Resources
}

// Snapshots are the default snapshots of a server.
type Snapshots struct {
	SnapshotsOptions
	recorded bool
}

// SnapshotsOptions are for the default snapshots.
type SnapshotsOptions struct {
	Image     *Image
	Snapshots *snapshot.Service
	Moved     Moved
	Region    string
	DataDir   string
	Clock     clock.WithTicker
	Log       *slog.Logger
}

// NewSnapshots makes it; nothing is recorded yet.
func NewSnapshots(o SnapshotsOptions) *Snapshots { return &Snapshots{SnapshotsOptions: o} }

// Record records the default snapshots at the first start, and anew
// those that failed at an earlier one or are of an older server's image, which
// serve until then. The reconciler makes them, and sandboxes that need one wait
// for it; so it is done before the first request. A mark in the data directory
// says that it was done: a snapshot that an administrator
// deletes does not come back.
func (s *Snapshots) Record(ctx context.Context) error {
	if s.Image.Setting == config.DefaultImageNone {
		s.recorded = true
		return nil
	}
	mark := filepath.Join(s.DataDir, config.DefaultsName)
	first, err := config.Missing(mark)
	if err != nil {
		return fmt.Errorf("look for the default snapshots: %w", err)
	}
	for _, d := range Defaults {
		image := s.Image.chosen()
		snap, err := s.Snapshots.Get(ctx, "", d.Name)
		switch {
		case err != nil && !fault.Is(err, fault.KindNotFound):
			return fmt.Errorf("look for default snapshot %s: %w", d.Name, err)
		case err == nil && snap.General && snap.State != snapshot.StateRemoving && (snap.State.Failed() && snap.OrganizationID == "" || s.Image.successor(snap.ImageName) != ""):
			if next := s.Image.successor(snap.ImageName); next != "" {
				image = next
			}
			if snap.Next != nil && snap.Next.ImageName == image && !snap.Next.State.Failed() {
				continue // it goes on
			}
			s.Log.Warn("making a default snapshot anew", "snapshot", d.Name, "failed", snap.ErrorReason, "image", snap.ImageName, "now", image)
			if _, err := s.Snapshots.Update(ctx, "", snap.ID, true, snapshot.CreateParams{ImageName: image}); err != nil {
				return fmt.Errorf("replace default snapshot %s: %w", d.Name, err)
			}
			continue
		case err == nil && snap.State != snapshot.StateRemoving, !first:
			continue
		}
		_, err = s.Snapshots.Create(ctx, "", true, snapshot.CreateParams{
			Name: d.Name, ImageName: image, Entrypoint: snapshot.DefaultEntrypoint, RegionID: s.Region,
			CPU: &d.Resources.CPU, Memory: &d.Resources.Memory, Disk: &d.Resources.Disk,
		})
		if err != nil {
			return fmt.Errorf("record default snapshot %s: %w", d.Name, err)
		}
		s.Log.Info("making a default snapshot in the background", "snapshot", d.Name, "image", image)
	}
	s.recorded = true
	if !first {
		return nil
	}
	if err := durable.WriteFile(mark, []byte("The default snapshots were recorded; without this file the next start records those that are missing.\n"), 0o600); err != nil {
		return fmt.Errorf("remember the default snapshots: %w", err)
	}
	return nil
}

// Run records the default snapshots if that has failed before, and completes them
// until ctx ends.
func (s *Snapshots) Run(ctx context.Context) error {
	if !s.recorded {
		if err := s.Record(ctx); err != nil {
			return err
		}
	}
	return s.Complete(ctx)
}
