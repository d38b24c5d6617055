package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/objectstore"
)

// What a build's contexts may be.
const (
	maxContextSize    = 5 << 30 // bytes of one upload, and unpacked
	maxContextEntries = 1_000_000
	contextLife       = 7 * 24 * time.Hour
)

func (s *server) openContexts(ctx context.Context) error {
	if s.S3.Endpoint != "" {
		options := s.S3
		options.Transport = s.transport
		remote, err := objectstore.OpenRemote(ctx, options)
		if err != nil {
			return err
		}
		s.contexts = remote
		return nil
	}
	embedded, err := objectstore.Open(objectstore.Options{
		Dir: s.below(contextsName), MaxSize: maxContextSize, Life: contextLife, Needed: s.neededContexts, Log: s.log,
		Continue: func(ctx context.Context, keyHash string) error { return s.accounts.Continue(ctx, keyHash) },
	})
	if err != nil {
		return err
	}
	s.opened("contexts", embedded.Close)
	s.contexts, s.uploads = embedded, &objectstore.Bounded{Store: embedded, Quota: int64(s.QuotaUploads) * gib}
	return nil
}

// neededContexts are those of snapshots: one that was inactive for long is built
// again when it is used.
func (s *server) neededContexts(ctx context.Context) (func(organizationID, hash string) bool, error) {
	if s.quarantine.HoldsFiles() { // an earlier database may have needed them
		return func(string, string) bool { return true }, nil
	}
	all, err := s.db.SnapshotsIn(ctx)
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

// contextError tells people of a context that cannot be used.
type contextError struct {
	hash string
	err  error
}

func (e contextError) Error() string { return fmt.Sprintf("context %s: %v", e.hash, e.err) }

func (e contextError) Unwrap() error { return e.err }

// Message is a sentence for people.
func (e contextError) Message() string {
	if errors.Is(e.err, objectstore.ErrNotFound) {
		return fmt.Sprintf("The build context %s was not uploaded, or has expired: upload it again.", e.hash)
	}
	return fmt.Sprintf("The build context %s cannot be used: %v.", e.hash, e.err)
}

// fillContexts unpacks the uploaded archives of a build, one over the other.
func (s *server) fillContexts(ctx context.Context, organizationID string, hashes []string, dir string) error {
	for _, hash := range hashes {
		if err := s.fillContext(ctx, organizationID, hash, dir); err != nil {
			return contextError{hash, err}
		}
	}
	return nil
}

func (s *server) fillContext(ctx context.Context, organizationID, hash, dir string) error {
	archive, err := s.contexts.Context(ctx, organizationID, hash)
	if err != nil {
		return err
	}
	defer archive.Close()
	return objectstore.Extract(ctx, archive, dir, objectstore.Limits{Bytes: maxContextSize, Entries: maxContextEntries})
}
