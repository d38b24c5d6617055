package image

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// What a pull fetches is held by a lease of the thing pulled, which all pulls of
// it share, as long as one of them goes on. A pull that fails leaves it to a lease
// that expires, from which the next one takes it over.
const (
	pullPrefix   = "pull/"
	brokenPrefix = "broken-pull/"
	brokenKept   = time.Hour
)

// pullLeases counts who uses the lease of each thing that is pulled.
type pullLeases struct {
	mu    sync.Mutex
	users map[string]int
	done  map[string]bool // nothing that the lease holds is wanted for another attempt
}

// beginPull returns a context under whose lease nothing that a pull of the digest
// fetches is collected, until end is called. With done, what was fetched is held
// by somebody else, or is to go; else it is kept for an hour.
func (s *Store) beginPull(ctx context.Context, digest string) (_ context.Context, end func(done bool) error, err error) {
	p := &s.pulls
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[digest] == 0 {
		if err := s.moveLease(ctx, brokenPrefix+digest, pullPrefix+digest); err != nil {
			return nil, nil, fmt.Errorf("lease: %w", err)
		}
	}
	if p.users == nil {
		p.users, p.done = make(map[string]int), make(map[string]bool)
	}
	p.users[digest]++
	return leases.WithLease(ctx, pullPrefix+digest), func(done bool) error { return s.endPull(context.WithoutCancel(ctx), digest, done) }, nil
}

func (s *Store) endPull(ctx context.Context, digest string, done bool) error {
	p := &s.pulls
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[digest]--
	p.done[digest] = p.done[digest] || done
	if p.users[digest] > 0 {
		return nil
	}
	done = p.done[digest]
	delete(p.users, digest)
	delete(p.done, digest)
	if !done {
		return s.breakPull(ctx, digest)
	}
	return s.deleteLease(ctx, pullPrefix+digest)
}

func (s *Store) breakPull(ctx context.Context, digest string) error {
	return s.moveLease(ctx, pullPrefix+digest, brokenPrefix+digest, leases.WithExpiration(brokenKept))
}

// keepBrokenPulls is for the pulls that a killed server has left.
func (s *Store) keepBrokenPulls(ctx context.Context) error {
	all, err := s.leases.List(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range all {
		if digest, ok := strings.CutPrefix(l.ID, pullPrefix); ok {
			if err := s.breakPull(ctx, digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveLease makes a lease that holds what another did, if there is that.
func (s *Store) moveLease(ctx context.Context, from, to string, opts ...leases.Opt) error {
	// What the new one may have been before has another expiry.
	if err := s.deleteLease(ctx, to); err != nil {
		return err
	}
	lease, err := s.leases.Create(ctx, append(opts, leases.WithID(to))...)
	if err != nil {
		return fmt.Errorf("create lease %s: %w", to, err)
	}
	held, err := s.leases.ListResources(ctx, leases.Lease{ID: from})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list what lease %s holds: %w", from, err)
	}
	for _, r := range held {
		if err := s.leases.AddResource(ctx, lease, r); err != nil {
			return fmt.Errorf("hold %s by lease %s: %w", r.ID, to, err)
		}
	}
	return s.deleteLease(ctx, from)
}

func (s *Store) deleteLease(ctx context.Context, id string) error {
	if err := s.leases.Delete(ctx, leases.Lease{ID: id}); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete lease %s: %w", id, err)
	}
	return nil
}
