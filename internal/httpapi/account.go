package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/permission"
)

type keyName struct {
	Name string `path:"name"`
}

type userKeyName struct {
	UserID string `path:"userId"`
	Name   string `path:"name"`
}

type organizationID struct {
	ID string `path:"organizationId"`
}

type limitEgress struct {
	ID   string `path:"organizationId"`
	Body api.OrganizationSandboxDefaultLimitedNetworkEgress
}

func (a *API) registerAccount() {
	register(a, operation{id: "getMe", method: http.MethodGet, path: "/users/me", needs: anyKey, tag: "users", summary: "Get the current user"},
		func(ctx context.Context, _ *none) (*body[api.User], error) {
			u, err := a.Accounts.User(ctx, caller(ctx))
			if err != nil {
				return nil, err
			}
			return &body[api.User]{api.User{ID: u.ID, Name: u.Name, Email: u.Email, EmailVerified: true, PublicKeys: []api.UserPublicKey{}, CreatedAt: u.CreatedAt}}, nil
		})

	register(a, operation{id: "createApiKey", method: http.MethodPost, path: "/api-keys", status: http.StatusCreated, needs: has(permission.ManageAPIKeys), tag: "api-keys", summary: "Create an API key; only this response contains its value"},
		func(ctx context.Context, in *body[api.CreateAPIKey]) (*body[api.APIKeyCreated], error) {
			var additional *[]permission.Permission
			if in.Body.Additional != nil {
				all := renamed[permission.Permission](*in.Body.Additional)
				additional = &all
			}
			k, value, err := a.Accounts.CreateKey(ctx, caller(ctx), in.Body.Name, renamed[permission.Permission](in.Body.Permissions), additional, in.Body.ExpiresAt)
			if err != nil {
				return nil, err
			}
			return &body[api.APIKeyCreated]{api.APIKeyCreated{Name: k.Name, Value: value, CreatedAt: k.CreatedAt, Permissions: renamed[api.Permission](k.Published()), Additional: renamed[api.Permission](k.Additional()), ExpiresAt: k.ExpiresAt}}, nil
		})
	register(a, operation{id: "listApiKeys", method: http.MethodGet, path: "/api-keys", needs: anyKey, tag: "api-keys", summary: "List your API keys"},
		func(ctx context.Context, _ *none) (*body[[]api.APIKey], error) {
			keys, err := a.Accounts.Keys(ctx, caller(ctx))
			if err != nil {
				return nil, err
			}
			out := make([]api.APIKey, len(keys))
			for i, k := range keys {
				out[i] = wireKey(k)
			}
			return &body[[]api.APIKey]{out}, nil
		})
	getKey := func(ctx context.Context, name string) (*body[api.APIKey], error) {
		k, err := a.Accounts.Key(ctx, caller(ctx), name)
		if err != nil {
			return nil, err
		}
		return &body[api.APIKey]{wireKey(k)}, nil
	}
	register(a, operation{id: "getCurrentApiKey", method: http.MethodGet, path: "/api-keys/current", needs: anyKey, tag: "api-keys", summary: "Get the current API key"},
		func(ctx context.Context, _ *none) (*body[api.APIKey], error) { return getKey(ctx, caller(ctx).KeyName) })
	register(a, operation{id: "getApiKey", method: http.MethodGet, path: "/api-keys/{name}", needs: anyKey, tag: "api-keys", summary: "Get one of your API keys"},
		func(ctx context.Context, in *keyName) (*body[api.APIKey], error) { return getKey(ctx, in.Name) })
	register(a, operation{id: "deleteApiKey", method: http.MethodDelete, path: "/api-keys/{name}", status: http.StatusNoContent, needs: has(permission.ManageAPIKeys), tag: "api-keys", summary: "Delete one of your API keys"},
		func(ctx context.Context, in *keyName) (*none, error) {
			return nil, a.Accounts.DeleteKey(ctx, caller(ctx), caller(ctx).UserID, in.Name)
		})
	register(a, operation{id: "deleteApiKeyForUser", method: http.MethodDelete, path: "/api-keys/{userId}/{name}", status: http.StatusNoContent, needs: has(permission.ManageAPIKeys), sometimes: []Sometimes{{"the user is not you", permission.ManageServer}}, tag: "api-keys", summary: "Delete a user's API key"},
		func(ctx context.Context, in *userKeyName) (*none, error) {
			return nil, a.Accounts.DeleteKey(ctx, caller(ctx), in.UserID, in.Name)
		})

	register(a, operation{id: "listOrganizations", method: http.MethodGet, path: "/organizations", needs: anyKey, tag: "organizations", summary: "List your organizations"},
		func(ctx context.Context, _ *none) (*body[[]api.Organization], error) {
			list, err := a.Accounts.Organizations(ctx, caller(ctx))
			if err != nil {
				return nil, err
			}
			out := make([]api.Organization, len(list))
			for i, o := range list {
				out[i] = a.wireOrganization(o)
			}
			return &body[[]api.Organization]{out}, nil
		})
	register(a, operation{id: "getOrganization", method: http.MethodGet, path: "/organizations/{organizationId}", needs: anyKey, tag: "organizations", summary: "Get an organization"},
		func(ctx context.Context, in *organizationID) (*body[api.Organization], error) {
			o, err := a.Accounts.Organization(ctx, caller(ctx), in.ID)
			if err != nil {
				return nil, err
			}
			return &body[api.Organization]{a.wireOrganization(o)}, nil
		})
	register(a, operation{id: "updateSandboxDefaultLimitedNetworkEgress", method: http.MethodPost, path: "/organizations/{organizationId}/sandbox-default-limited-network-egress", status: http.StatusNoContent, needs: has(permission.ManageServer), tag: "organizations", summary: "Limit the network by default for an organization's sandboxes"},
		func(ctx context.Context, in *limitEgress) (*none, error) {
			return nil, a.Accounts.SetLimitedEgress(ctx, caller(ctx), in.ID, in.Body.SandboxDefaultLimitedNetworkEgress)
		})
	register(a, operation{id: "getOrganizationUsage", method: http.MethodGet, path: "/organizations/{organizationId}/usage", needs: has(permission.ReadLimits), tag: "organizations", summary: "Get an organization's quota usage"}, a.usage)
}

func (a *API) usage(ctx context.Context, in *organizationID) (*body[api.OrganizationUsage], error) {
	o, err := a.Accounts.Organization(ctx, caller(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	used, err := a.Usage.Usage(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	snapshots, err := a.Usage.SnapshotCount(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	q := a.Accounts.Quota()
	return &body[api.OrganizationUsage]{api.OrganizationUsage{
		TotalSnapshotQuota: q.Snapshots, CurrentSnapshotUsage: snapshots,
		RegionUsage: []api.RegionUsage{{
			RegionID: o.DefaultRegion, SandboxClass: sandboxClass,
			TotalCPUQuota: q.TotalCPU, CurrentCPUUsage: used.CPU,
			TotalMemoryQuota: q.TotalMemory, CurrentMemoryUsage: used.Memory,
			TotalDiskQuota: q.TotalDisk, CurrentDiskUsage: used.Disk,
			MaxCPUPerSandbox: &q.MaxCPU, MaxMemoryPerSandbox: &q.MaxMemory, MaxDiskPerSandbox: &q.MaxDisk,
		}},
	}}, nil
}

func wireKey(k *account.Key) api.APIKey {
	return api.APIKey{
		Name: k.Name, Value: k.Masked, CreatedAt: k.CreatedAt, Permissions: renamed[api.Permission](k.Published()), Additional: renamed[api.Permission](k.Additional()),
		LastUsedAt: k.LastUsedAt, ExpiresAt: k.ExpiresAt, UserID: k.UserID, OrganizationID: k.OrganizationID,
	}
}

func (a *API) wireOrganization(o *account.Organization) api.Organization {
	quota := a.Accounts.Quota()
	return api.Organization{
		ID: o.ID, Name: o.Name, CreatedBy: o.CreatedBy, Personal: o.Personal, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
		SuspendedAt: time.Unix(0, 0).UTC(), SuspendedUntil: time.Unix(0, 0).UTC(),
		MaxCPUPerSandbox: quota.MaxCPU, MaxMemoryPerSandbox: quota.MaxMemory, MaxDiskPerSandbox: quota.MaxDisk,
		SnapshotDeactivationTimeoutMinutes: int(a.Accounts.DeactivateAfter() / time.Minute), DefaultRegionID: o.DefaultRegion,
		SandboxLimitedNetworkEgress: o.LimitedEgress, ExperimentalConfig: map[string]string{},
	}
}
