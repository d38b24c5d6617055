package daytona

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/opendaytona/daytona/api"
)

// WarmPoolService keeps sandboxes of a snapshot started ahead: a create that
// fits one takes it in a few milliseconds. They count to the quota.
type WarmPoolService struct{ client *Client }

const warmPools = "/warm-pools"

// Create keeps size sandboxes of a snapshot, named by name or id, ready in a
// region; "" is the organization's. It does not wait for them. Errors:
// ErrInvalid, ErrNotFound, ErrConflict when the snapshot has a pool there.
func (s *WarmPoolService) Create(ctx context.Context, snapshot string, size int, region string) (*api.WarmPool, error) {
	return s.one(ctx, request{method: http.MethodPost, url: warmPools, body: api.CreateWarmPool{Snapshot: snapshot, Pool: size, Target: region}})
}

func (s *WarmPoolService) one(ctx context.Context, r request) (*api.WarmPool, error) {
	var pool api.WarmPool
	if err := s.client.do(ctx, r, &pool); err != nil {
		return nil, err
	}
	return &pool, nil
}

// List returns all of the organization, the oldest first.
func (s *WarmPoolService) List(ctx context.Context) ([]api.WarmPool, error) {
	var all []api.WarmPool
	err := s.client.do(ctx, request{method: http.MethodGet, url: warmPools}, &all)
	return all, err
}

// Get finds one by its id, or else by its snapshot's name. Errors: ErrNotFound.
func (s *WarmPoolService) Get(ctx context.Context, idOrSnapshot string) (*api.WarmPool, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for i, p := range all {
		if p.ID == idOrSnapshot || p.Snapshot == idOrSnapshot {
			return &all[i], nil
		}
	}
	return nil, &Error{StatusCode: http.StatusNotFound, Code: "WARM_POOL_NOT_FOUND", Message: fmt.Sprintf("Warm pool %q does not exist.", idOrSnapshot)}
}

// Update changes how many wait; 0 drains the pool. Errors: ErrInvalid,
// ErrNotFound.
func (s *WarmPoolService) Update(ctx context.Context, id string, size int) (*api.WarmPool, error) {
	return s.one(ctx, request{method: http.MethodPatch, url: warmPools + "/" + url.PathEscape(id), body: api.UpdateWarmPool{Pool: size}})
}

// Delete ends a pool and what waits in it. Errors: ErrNotFound.
func (s *WarmPoolService) Delete(ctx context.Context, id string) error {
	return s.client.do(ctx, request{method: http.MethodDelete, url: warmPools + "/" + url.PathEscape(id)}, nil)
}
