package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/quarantine"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// What a build's contexts may be.
const (
	MaxContextSize    = 5 << 30 // bytes of one upload, and unpacked
	ContextLife       = 7 * 24 * time.Hour
	maxContextEntries = 1_000_000
)

// versionsAtOnce is how many requests go to an S3 of the operator's for one build.
const versionsAtOnce = 16

// SnapshotRows are the snapshots that the database has.
type SnapshotRows interface {
	SnapshotsIn(ctx context.Context, states ...snapshot.State) ([]*snapshot.Snapshot, error)
}

// NeededContexts are those of snapshots (objectstore.Options.Needed): one that was
// inactive for long is built again when it is used.
func NeededContexts(rows SnapshotRows, kept quarantine.Index) func(context.Context) (func(organizationID, hash string) bool, error) {
	return func(ctx context.Context) (func(organizationID, hash string) bool, error) {
		if kept.HoldsFiles() { // an earlier database may have needed them
			return func(string, string) bool { return true }, nil
		}
		all, err := rows.SnapshotsIn(ctx)
		if err != nil {
			return nil, err
		}
		type context struct{ organization, hash string }
		needed := map[context]bool{}
		for _, snap := range all {
			if snap.Build == nil {
				continue
			}
			for _, hash := range snap.Build.Contexts {
				needed[context{snap.OrganizationID, hash}] = true
			}
		}
		return func(organizationID, hash string) bool { return needed[context{organizationID, hash}] }, nil
	}
}

// contextError tells people of a context that cannot be used.
type contextError struct {
	hash string
	err  error
}

func (e contextError) Error() string { return fmt.Sprintf("context %s: %v", e.hash, e.err) }

func (e contextError) Unwrap() error { return e.err }

// errReplaced says that a build was asked for with other bytes than are there.
var errReplaced = errors.New("another archive was uploaded under its hash")

// Message is a sentence for people.
func (e contextError) Message() string {
	switch {
	case errors.Is(e.err, objectstore.ErrNotFound):
		return fmt.Sprintf("The build context %s was not uploaded, or has expired: upload it again.", e.hash)
	case errors.Is(e.err, errReplaced):
		return fmt.Sprintf("Other files were uploaded as build context %s since this build was asked for: ask for it again, to build with those.", e.hash)
	}
	return fmt.Sprintf("The build context %s cannot be used: %v.", e.hash, e.err)
}

// Contexts are the uploaded archives as builds use them.
type Contexts struct{ objectstore.Contexts }

func (c Contexts) versions(ctx context.Context, organizationID string, hashes []string) ([]string, error) {
	versions := make([]string, len(hashes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(versionsAtOnce)
	for i, hash := range hashes {
		group.Go(func() (err error) {
			versions[i], err = c.Version(ctx, organizationID, hash)
			if errors.Is(err, objectstore.ErrNotFound) {
				err = nil // the build tells of it, in its log
			}
			return err
		})
	}
	return versions, group.Wait()
}

// fill unpacks the archives of a build, one over the other.
func (c Contexts) fill(ctx context.Context, organizationID string, b snapshot.Build, dir string) error {
	for i, hash := range b.Contexts {
		version := "" // any, as of builds from before versions were kept
		if i < len(b.Versions) {
			version = b.Versions[i]
		}
		if err := c.fillOne(ctx, organizationID, hash, version, dir); err != nil {
			return contextError{hash, err}
		}
	}
	return nil
}

func (c Contexts) fillOne(ctx context.Context, organizationID, hash, version, dir string) error {
	archive, err := c.Context(ctx, organizationID, hash)
	if err != nil {
		return err
	}
	defer archive.Close()
	if version != "" && archive.Version != version {
		return errReplaced
	}
	return objectstore.Extract(ctx, archive, dir, objectstore.Limits{Bytes: MaxContextSize, Entries: maxContextEntries})
}
