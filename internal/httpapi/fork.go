package httpapi

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/sandbox"
)

type forkSandbox struct {
	SandboxID
	Body *api.ForkSandbox
}

type listForks struct {
	SandboxID
	Destroyed bool `query:"includeDestroyed" doc:"Include destroyed sandboxes"`
}

type snapshotSandbox struct {
	SandboxID
	Body api.CreateSandboxSnapshot
}

func (a *API) registerForks(tag string) {
	register(a, operation{id: "forkSandbox", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/fork", needs: has(permission.WriteSandboxes), tag: tag, summary: "Fork a sandbox"},
		func(ctx context.Context, in *forkSandbox) (*body[api.Sandbox], error) {
			name := ""
			if in.Body != nil {
				name = in.Body.Name
			}
			sb, err := a.Sandboxes.Fork(ctx, caller(ctx).OrganizationID, in.ID, name)
			return a.started(ctx, sb, err)
		})
	register(a, operation{id: "getSandboxForks", method: http.MethodGet, path: "/sandbox/{sandboxIdOrName}/forks", needs: anyKey, tag: tag, summary: "List the forks of a sandbox"},
		func(ctx context.Context, in *listForks) (*body[[]api.Sandbox], error) {
			forks, err := a.Sandboxes.Forks(ctx, caller(ctx).OrganizationID, in.ID, in.Destroyed)
			return a.sandboxesBody(ctx, forks, err)
		})
	register(a, operation{id: "getSandboxParent", method: http.MethodGet, path: "/sandbox/{sandboxIdOrName}/parent", needs: anyKey, tag: tag, summary: "Get the parent of a fork"},
		func(ctx context.Context, in *SandboxID) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Parent(ctx, caller(ctx).OrganizationID, in.ID)
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "getSandboxAncestors", method: http.MethodGet, path: "/sandbox/{sandboxIdOrName}/ancestors", needs: anyKey, tag: tag, summary: "List the ancestors of a fork"},
		func(ctx context.Context, in *SandboxID) (*body[[]api.Sandbox], error) {
			line, err := a.Sandboxes.Ancestors(ctx, caller(ctx).OrganizationID, in.ID)
			return a.sandboxesBody(ctx, line, err)
		})
	register(a, operation{id: "createSandboxSnapshot", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/snapshot", needs: has(permission.WriteSnapshots), tag: tag, summary: "Create a snapshot from a sandbox"},
		func(ctx context.Context, in *snapshotSandbox) (*body[api.Sandbox], error) {
			if in.Body.IncludeMemory {
				return nil, fault.Invalid("includeMemory", "The memory of a sandbox cannot be part of a snapshot here: leave includeMemory out.")
			}
			sb, err := a.Sandboxes.Snapshot(ctx, caller(ctx).OrganizationID, in.ID, in.Body.Name)
			sb, err = a.settle(ctx, sb, err)
			return a.sandboxBody(ctx, sb, err)
		})
}

func (a *API) sandboxesBody(ctx context.Context, all []*sandbox.Sandbox, err error) (*body[[]api.Sandbox], error) {
	if err != nil {
		return nil, err
	}
	out := make([]api.Sandbox, 0, len(all))
	for _, sb := range all {
		out = append(out, a.wireSandbox(ctx, sb))
	}
	return &body[[]api.Sandbox]{out}, nil
}
