package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"
)

// ownerPrefix marks the leases that stand for owners.
const ownerPrefix = "owner/"

// Hold lets owner hold the image, until Release and across restarts. An owner
// holds one image; holding another lets go of the first. Errors: ErrNotFound.
func (s *Store) Hold(ctx context.Context, owner, digest string) error {
	ctx = s.in(ctx)
	lease := leases.Lease{ID: ownerPrefix + owner}
	if _, err := s.leases.Create(ctx, leases.WithID(lease.ID)); err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("hold image %s for %s: %w", digest, owner, err)
	}
	held, err := s.leases.ListResources(ctx, lease)
	if err != nil {
		return fmt.Errorf("hold image %s for %s: %w", digest, owner, err)
	}
	// The manifest's labels hold its config and layers, and the config's label
	// holds the snapshots.
	wanted := leases.Resource{ID: digest, Type: "content"}
	if err := s.leases.AddResource(ctx, lease, wanted); err != nil {
		return fmt.Errorf("hold image %s for %s: %w", digest, owner, err)
	}
	// Looked at before it is held, it could go in between.
	if _, err := s.Image(ctx, digest); err != nil {
		return errors.Join(fmt.Errorf("hold for %s: %w", owner, err), s.unhold(context.WithoutCancel(ctx), lease, wanted, held))
	}
	for _, r := range held {
		if r.ID != digest {
			if err := s.leases.DeleteResource(ctx, lease, r); err != nil {
				return fmt.Errorf("let go of %s for %s: %w", r.ID, owner, err)
			}
			s.wantCollection()
		}
	}
	return nil
}

// unhold leaves a lease as it was before it was to hold one thing more.
func (s *Store) unhold(ctx context.Context, lease leases.Lease, r leases.Resource, held []leases.Resource) error {
	defer s.wantCollection()
	if len(held) == 0 {
		return s.deleteLease(ctx, lease.ID)
	}
	if slices.Contains(held, r) {
		return nil
	}
	if err := s.leases.DeleteResource(ctx, lease, r); err != nil {
		return fmt.Errorf("let go of %s: %w", r.ID, err)
	}
	return nil
}

// Release lets go of what owner holds; a stranger is fine. An image that nobody
// holds is freed soon.
func (s *Store) Release(ctx context.Context, owner string) error {
	err := s.leases.Delete(s.in(ctx), leases.Lease{ID: ownerPrefix + owner})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release the image of %s: %w", owner, err)
	}
	s.wantCollection()
	return nil
}

// Owners tells who holds which image.
func (s *Store) Owners(ctx context.Context) (map[string]string, error) {
	ctx = s.in(ctx)
	all, err := s.leases.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list image owners: %w", err)
	}
	owners := make(map[string]string)
	for _, l := range all {
		owner, ours := strings.CutPrefix(l.ID, ownerPrefix)
		if !ours {
			continue
		}
		held, err := s.leases.ListResources(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("list the image of %s: %w", owner, err)
		}
		for _, r := range held {
			owners[owner] = r.ID
		}
	}
	return owners, nil
}

// Collect frees what nobody holds, and returns when that is done.
func (s *Store) Collect(ctx context.Context) error {
	_, err := s.collectNow(ctx)
	return err
}

func (s *Store) collectNow(ctx context.Context) (gc.Stats, error) {
	// One at a time, so that the second to come does not return while the first
	// still removes what it would have found.
	s.collecting.Lock()
	defer s.collecting.Unlock()
	stats, err := s.meta.GarbageCollect(s.in(ctx))
	if err != nil {
		return nil, fmt.Errorf("collect images: %w", err)
	}
	s.known.Range(func(digest, known any) bool {
		if s.check(s.in(ctx), known.(*unpacked)) != nil {
			s.known.CompareAndDelete(digest, known)
		}
		return true
	})
	return stats, nil
}

// wantCollection asks the collector for a run; many at once become one.
func (s *Store) wantCollection() {
	select {
	case s.collect <- struct{}{}:
	default:
	}
}

func (s *Store) collector(ctx context.Context) {
	defer close(s.stopped)
	for {
		select {
		case <-s.collect:
			if err := s.Collect(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("free unused images", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
