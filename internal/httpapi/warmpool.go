package httpapi

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// WarmPoolID is the path of most operations. huma fills in embedded types only
// when they are exported.
type WarmPoolID struct {
	ID string `path:"id"`
}

type resizeWarmPool struct {
	WarmPoolID
	Body api.UpdateWarmPool
}

func (a *API) registerWarmPool() {
	const tag = "warm-pools"
	register(a, operation{id: "listWarmPools", method: http.MethodGet, path: "/warm-pools", needs: anyKey, tag: tag, summary: "List warm pools"},
		func(ctx context.Context, _ *none) (*body[[]api.WarmPool], error) {
			pools, err := a.Sandboxes.Pools(ctx, caller(ctx).OrganizationID)
			if err != nil {
				return nil, err
			}
			out := make([]api.WarmPool, 0, len(pools))
			for _, p := range pools {
				out = append(out, wirePool(p))
			}
			return &body[[]api.WarmPool]{out}, nil
		})
	register(a, operation{id: "createWarmPool", method: http.MethodPost, path: "/warm-pools", status: http.StatusCreated, needs: has(permission.WriteSandboxes), tag: tag, summary: "Create a warm pool"},
		func(ctx context.Context, in *body[api.CreateWarmPool]) (*body[api.WarmPool], error) {
			p, err := a.Sandboxes.CreatePool(ctx, caller(ctx).OrganizationID, in.Body.Snapshot, in.Body.Target, in.Body.Pool)
			return poolBody(p, err)
		})
	register(a, operation{id: "updateWarmPool", method: http.MethodPatch, path: "/warm-pools/{id}", needs: has(permission.WriteSandboxes), tag: tag, summary: "Resize a warm pool"},
		func(ctx context.Context, in *resizeWarmPool) (*body[api.WarmPool], error) {
			p, err := a.Sandboxes.ResizePool(ctx, caller(ctx).OrganizationID, in.ID, in.Body.Pool)
			return poolBody(p, err)
		})
	register(a, operation{id: "deleteWarmPool", method: http.MethodDelete, path: "/warm-pools/{id}", status: http.StatusNoContent, needs: has(permission.DeleteSandboxes), tag: tag, summary: "Delete a warm pool and its waiting sandboxes"},
		func(ctx context.Context, in *WarmPoolID) (*none, error) {
			return nil, a.Sandboxes.DeletePool(ctx, caller(ctx).OrganizationID, in.ID)
		})
}

func poolBody(p *sandbox.PoolStatus, err error) (*body[api.WarmPool], error) {
	if err != nil {
		return nil, err
	}
	return &body[api.WarmPool]{wirePool(p)}, nil
}

func wirePool(p *sandbox.PoolStatus) api.WarmPool {
	w := api.WarmPool{
		ID: p.ID, OrganizationID: p.OrganizationID, Snapshot: p.WarmPool.Snapshot, Target: p.Region, Pool: p.Size, CurrentSize: p.Ready,
		ErrorReason: p.ErrorReason, Env: map[string]string{}, CreatedAt: timestamp(p.CreatedAt), UpdatedAt: timestamp(p.UpdatedAt),
	}
	if s := p.Snapshot; s != nil {
		w.CPU, w.Memory, w.Disk, w.OSUser = s.Resources.CPU, s.Resources.Memory, s.Resources.Disk, s.User
	}
	return w
}
