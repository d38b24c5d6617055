package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// snapshotPatience is how long the answer to a create or activate waits for the
// outcome. Most failures, and images that are here already, take less; for the
// others clients poll.
const snapshotPatience = time.Second

// buildPatience is the same for builds, of which only cached ones take less: the
// official SDKs read the log of those that they are told of while they go on.
const buildPatience = 200 * time.Millisecond

// sandboxClass is the class of all our sandboxes.
const sandboxClass = "container"

// SnapshotID is the path of most operations. huma fills in embedded types only
// when they are exported.
type SnapshotID struct {
	ID string `path:"id" doc:"Id or name"`
}

type listSnapshots struct {
	Page   int    `query:"page" minimum:"1" default:"1"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"10"`
	Name   string `query:"name" doc:"Part of the name"`
	Source string `query:"sourceSandboxId" doc:"Id of the sandbox that they were created from"`
	Sort   string `query:"sort" enum:"name,state,lastUsedAt,createdAt"`
	Order  string `query:"order" enum:"asc,desc"`
}

type updateSnapshot struct {
	SnapshotID
	Body api.UpdateSnapshot
}

// general is what the snapshots of all organizations need besides.
var general = []Sometimes{{"the snapshot is for all organizations", permission.ManageServer}}

func (a *API) registerSnapshot() {
	const tag = "snapshots"
	register(a, operation{id: "createSnapshot", method: http.MethodPost, path: "/snapshots", needs: has(permission.WriteSnapshots), sometimes: general, tag: tag, summary: "Create a snapshot from an image or a Dockerfile"}, a.createSnapshot)
	register(a, operation{id: "listSnapshots", method: http.MethodGet, path: "/snapshots", needs: anyKey, tag: tag, summary: "List your snapshots and shared snapshots"},
		func(ctx context.Context, in *listSnapshots) (*body[api.PaginatedSnapshots], error) {
			page, total, err := a.Snapshots.List(ctx, snapshot.Filter{
				OrganizationID: caller(ctx).OrganizationID, Name: in.Name, SourceSandbox: in.Source, Page: in.Page, Limit: in.Limit, Sort: in.Sort, Descending: in.Order == "desc",
			})
			if err != nil {
				return nil, err
			}
			out := api.PaginatedSnapshots{Items: []api.Snapshot{}, Total: total, Page: in.Page, TotalPages: pages(total, in.Limit)}
			for _, s := range page {
				out.Items = append(out.Items, WireSnapshot(s))
			}
			return &body[api.PaginatedSnapshots]{out}, nil
		})
	register(a, operation{id: "getSnapshot", method: http.MethodGet, path: "/snapshots/{id}", needs: anyKey, tag: tag, summary: "Get a snapshot"},
		func(ctx context.Context, in *SnapshotID) (*body[api.Snapshot], error) {
			s, err := a.Snapshots.Get(ctx, caller(ctx).OrganizationID, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[api.Snapshot]{WireSnapshot(s)}, nil
		})
	register(a, operation{id: "updateSnapshot", method: http.MethodPut, path: "/snapshots/{id}", needs: has(permission.WriteSnapshots), sometimes: general, tag: tag, summary: "Update a snapshot in place"},
		func(ctx context.Context, in *updateSnapshot) (*body[api.Snapshot], error) {
			b := in.Body
			s, err := a.Snapshots.Update(ctx, caller(ctx).OrganizationID, in.ID, caller(ctx).Can(permission.ManageServer), snapshot.CreateParams{
				Name: b.Name, ImageName: b.ImageName, Entrypoint: b.Entrypoint, CPU: b.CPU, Memory: b.Memory, Disk: b.Disk, RegionID: b.RegionID,
				Build: buildParams(b.BuildInfo),
			})
			if err != nil {
				return nil, err
			}
			return a.settleSnapshot(ctx, s)
		})
	register(a, operation{id: "cancelSnapshotUpdate", method: http.MethodDelete, path: "/snapshots/{id}/update", status: http.StatusNoContent, needs: has(permission.WriteSnapshots), sometimes: general, tag: tag, summary: "Cancel a snapshot's update, or discard a failed one"},
		func(ctx context.Context, in *SnapshotID) (*none, error) {
			return nil, a.Snapshots.CancelUpdate(ctx, caller(ctx).OrganizationID, in.ID, caller(ctx).Can(permission.ManageServer))
		})
	register(a, operation{id: "removeSnapshot", method: http.MethodDelete, path: "/snapshots/{id}", needs: has(permission.DeleteSnapshots), sometimes: general, tag: tag, summary: "Delete a snapshot; its sandboxes keep running"},
		func(ctx context.Context, in *SnapshotID) (*none, error) {
			return nil, a.Snapshots.Delete(ctx, caller(ctx).OrganizationID, in.ID, caller(ctx).Can(permission.ManageServer))
		})
	register(a, operation{id: "activateSnapshot", method: http.MethodPost, path: "/snapshots/{id}/activate", needs: has(permission.WriteSnapshots), tag: tag, summary: "Activate a snapshot"},
		func(ctx context.Context, in *SnapshotID) (*body[api.Snapshot], error) {
			s, err := a.Snapshots.Activate(ctx, caller(ctx).OrganizationID, in.ID)
			if err != nil {
				return nil, err
			}
			return a.settleSnapshot(ctx, s)
		})
	register(a, operation{id: "deactivateSnapshot", method: http.MethodPost, path: "/snapshots/{id}/deactivate", status: http.StatusNoContent, needs: has(permission.WriteSnapshots), sometimes: general, tag: tag, summary: "Deactivate a snapshot and free its image"},
		func(ctx context.Context, in *SnapshotID) (*none, error) {
			return nil, a.Snapshots.Deactivate(ctx, caller(ctx).OrganizationID, in.ID, caller(ctx).Can(permission.ManageServer))
		})
	register(a, operation{id: "getSnapshotBuildLogsUrl", method: http.MethodGet, path: "/snapshots/{id}/build-logs-url", needs: anyKey, tag: tag, summary: "Get the URL of a snapshot's build log"},
		func(ctx context.Context, in *SnapshotID) (*body[api.URL], error) {
			s, err := a.Snapshots.Get(ctx, caller(ctx).OrganizationID, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[api.URL]{api.URL{URL: origin(ctx) + Prefix + "/snapshots/" + s.ID + "/build-logs"}}, nil
		})
	register(a, operation{id: "getSnapshotBuildLogs", method: http.MethodGet, path: "/snapshots/{id}/build-logs", needs: anyKey, tag: tag, summary: "Read the build log of a snapshot"}, a.snapshotLogs)
}

func (a *API) createSnapshot(ctx context.Context, in *body[api.CreateSnapshot]) (*body[api.Snapshot], error) {
	b, by := in.Body, caller(ctx)
	if err := unsupportedOfSnapshot(b); err != nil {
		return nil, err
	}
	if b.General && !by.Can(permission.ManageServer) {
		return nil, fault.Forbidden("SNAPSHOT_GENERAL", "A snapshot for all organizations needs an administrator's key with the permission manage:server.")
	}
	p := snapshot.CreateParams{
		Name: b.Name, ImageName: b.ImageName, Entrypoint: b.Entrypoint, CPU: b.CPU, Memory: b.Memory, Disk: b.Disk, RegionID: b.RegionID,
		Build: buildParams(b.BuildInfo),
	}
	create := func() (*snapshot.Snapshot, error) { return a.Snapshots.Create(ctx, by.OrganizationID, b.General, p) }
	if b.Replace {
		create = func() (*snapshot.Snapshot, error) {
			return a.Snapshots.CreateOrUpdate(ctx, by.OrganizationID, b.General, by.Can(permission.ManageServer), p)
		}
	}
	s, err := create()
	if err != nil {
		return nil, err
	}
	told, err := a.settleSnapshot(ctx, s)
	if err == nil {
		told.Body = beforeItFailed(told.Body)
		err = a.earlySnapshotFailure(ctx, s)
	}
	return told, err
}

// beforeItFailed is a snapshot as the answer to its creation tells it. One that
// has failed within our patience is told as it was while it was made: the
// official SDKs read the log, and some of them the reason, only of a snapshot
// that they have seen in such a state, and ask again at once.
func beforeItFailed(s api.Snapshot) api.Snapshot {
	switch {
	case s.Update != nil: // it is older
	case s.State == api.SnapshotBuildFailed:
		s.State, s.ErrorReason = api.SnapshotBuilding, nil
	case s.State == api.SnapshotError:
		s.State, s.ErrorReason = api.SnapshotPulling, nil
	}
	return s
}

func buildParams(b *api.CreateBuildInfo) *snapshot.BuildParams {
	if b == nil {
		return nil
	}
	return &snapshot.BuildParams{Dockerfile: b.DockerfileContent, Contexts: b.ContextHashes}
}

// settleSnapshot answers with the outcome when it comes soon.
func (a *API) settleSnapshot(ctx context.Context, s *snapshot.Snapshot) (*body[api.Snapshot], error) {
	patience := snapshotPatience
	if s.Build != nil || s.Next != nil && s.Next.Build != nil {
		patience = buildPatience
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.Snapshots.Settle(wait, s)
	if err != nil {
		return nil, err
	}
	return &body[api.Snapshot]{WireSnapshot(s)}, nil
}

type snapshotLogs struct {
	SnapshotID
	Follow bool `query:"follow" doc:"Stream until the snapshot is ready"`
}

func (a *API) snapshotLogs(ctx context.Context, in *snapshotLogs) (*huma.StreamResponse, error) {
	s, err := a.Snapshots.Get(ctx, caller(ctx).OrganizationID, in.ID)
	if err != nil {
		return nil, err
	}
	return a.streamLog(s, in.Follow), nil
}

// streamLog answers at once, also while there is nothing to read yet: clients
// ask as soon as they know of the snapshot, and take no answer for a failure.
func (a *API) streamLog(s *snapshot.Snapshot, follow bool) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "text/plain; charset=utf-8")
		w := flushing{hc.BodyWriter()}
		w.flush()
		err := a.Snapshots.CopyLog(hc.Context(), w, s, follow)
		if fault.Ended(hc.Context()) != nil {
			panic(http.ErrAbortHandler) // or the client would take it for the log's end
		}
		if err != nil && hc.Context().Err() == nil {
			a.Log.Error("stream build log", "snapshot", s.Name, "err", err)
		}
	}}
}

// WireSnapshot is the snapshot as the API tells it.
func WireSnapshot(s *snapshot.Snapshot) api.Snapshot {
	w := api.Snapshot{
		ID: s.ID, OrganizationID: s.OrganizationID, General: s.General, Name: s.Name, ImageName: s.ImageName, State: api.SnapshotState(s.State),
		Entrypoint: s.Entrypoint, CPU: s.Resources.CPU, Memory: s.Resources.Memory, Disk: s.Resources.Disk,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, LastUsedAt: s.LastUsedAt, RegionIDs: s.RegionIDs, Ref: s.ImageDigest, SandboxClass: sandboxClass, Revision: s.Revision,
	}
	if s.ErrorReason != "" || s.State.Failed() { // the official command does not expect null of a failed one
		w.ErrorReason = &s.ErrorReason
	}
	if s.SourceSandboxID != "" {
		w.SourceSandboxID = &s.SourceSandboxID
	}
	if s.ImageDigest != "" && s.State != snapshot.StateSnapshotting {
		size := float64(s.Size) / (1 << 30)
		w.Size = &size
	}
	w.BuildInfo = wireBuild(s)
	if next := s.Next; next != nil {
		w.Update = &api.SnapshotUpdate{ID: next.Revision, State: api.SnapshotState(next.State), ImageName: next.ImageName, BuildInfo: wireBuild(next), CreatedAt: next.CreatedAt}
		if next.ErrorReason != "" {
			w.Update.ErrorReason = &next.ErrorReason
		}
	}
	return w
}

func wireBuild(s *snapshot.Snapshot) *api.BuildInfo {
	if s.Build == nil {
		return nil
	}
	return &api.BuildInfo{
		DockerfileContent: s.Build.Dockerfile, ContextHashes: append([]string{}, s.Build.Contexts...), SnapshotRef: s.Build.Ref,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

func pages(total, limit int) int { return (total + limit - 1) / limit }
