package daytona

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/opendaytona/daytona/api"
)

// SnapshotService makes and manages snapshots.
type SnapshotService struct{ client *Client }

// Resources of a sandbox; 0 is the server's default.
type Resources struct {
	CPU    int // cores
	Memory int // GiB
	Disk   int // GiB
}

// CreateSnapshotParams say what snapshot to make.
type CreateSnapshotParams struct {
	Name       string
	Image      string   // with a tag or digest
	Build      *Image   // to be built in place of Image
	Entrypoint []string // nil is the image's
	Resources  *Resources
	RegionID   string // "" is the organization's default
	Replace    bool   // update the snapshot of that name, if there is one
	General    bool   // for every organization; administrators only
}

// Create makes a snapshot of an image, pulled or built, and returns when it is
// active. The files that a build copies are uploaded, those that the server has
// already are not. onLogs, which may be
// nil, is told what happens, a line at a time, and not after Create has returned.
// When that fails after the snapshot was made, it is returned along with the
// error. Errors: ErrInvalid, also over a quota, ErrConflict for the name,
// ErrNotFound for the region and local files; *StateError when its image cannot
// be had.
func (s *SnapshotService) Create(ctx context.Context, p CreateSnapshotParams, onLogs func(line string)) (*api.Snapshot, error) {
	ask := api.CreateSnapshot{Name: p.Name, ImageName: p.Image, Entrypoint: p.Entrypoint, RegionID: p.RegionID, General: p.General, Replace: p.Replace}
	var err error
	if ask.BuildInfo, err = s.buildInfo(ctx, p.Image, p.Build, p.Entrypoint, onLogs); err != nil {
		return nil, err
	}
	if r := p.Resources; r != nil {
		ask.CPU, ask.Memory, ask.Disk = given(r.CPU), given(r.Memory), given(r.Disk)
	}
	var snapshot api.Snapshot
	if err := s.client.do(ctx, request{method: http.MethodPost, url: "/snapshots", body: ask}, &snapshot); err != nil {
		return nil, err
	}
	return s.follow(ctx, &snapshot, onLogs)
}

// UpdateSnapshotParams say what to change of a snapshot. What is left out stays.
type UpdateSnapshotParams struct {
	Image      string     // new content: with a tag or digest
	Build      *Image     // or to be built
	Entrypoint []string   // nil stays; empty is the image's own
	Resources  *Resources // zeros stay
	RegionID   string
}

// Update changes what is behind a snapshot's name and returns when that is done.
// New content is made beside what the snapshot has, from which sandboxes are
// made until the two change places. onLogs is as for Create. When the new content
// cannot be had, the snapshot is returned as it stays, with a *StateError. Errors
// besides: as Create's; ErrNotFound.
func (s *SnapshotService) Update(ctx context.Context, idOrName string, p UpdateSnapshotParams, onLogs func(line string)) (*api.Snapshot, error) {
	ask := api.UpdateSnapshot{ImageName: p.Image, Entrypoint: p.Entrypoint, RegionID: p.RegionID}
	var err error
	if ask.BuildInfo, err = s.buildInfo(ctx, p.Image, p.Build, p.Entrypoint, onLogs); err != nil {
		return nil, err
	}
	if r := p.Resources; r != nil {
		ask.CPU, ask.Memory, ask.Disk = given(r.CPU), given(r.Memory), given(r.Disk)
	}
	var snapshot api.Snapshot
	if err := s.client.do(ctx, request{method: http.MethodPut, url: "/snapshots/" + url.PathEscape(idOrName), body: ask}, &snapshot); err != nil {
		return nil, err
	}
	if ask.ImageName == "" && ask.BuildInfo == nil {
		return &snapshot, nil // nothing is to be made
	}
	return s.follow(ctx, &snapshot, onLogs)
}

// buildInfo uploads what a build needs; nil without one.
func (s *SnapshotService) buildInfo(ctx context.Context, image string, build *Image, entrypoint []string, onLogs func(string)) (*api.CreateBuildInfo, error) {
	if build == nil {
		return nil, nil
	}
	if image != "" {
		return nil, invalid("Give Image or Build, not both.")
	}
	return s.client.build(ctx, build, entrypoint, onLogs)
}

// follow tells how a snapshot is made until its state stays.
func (s *SnapshotService) follow(ctx context.Context, snapshot *api.Snapshot, onLogs func(string)) (*api.Snapshot, error) {
	done := s.client.tell(ctx, "/snapshots/"+url.PathEscape(snapshot.ID), onLogs)
	defer done()
	return s.settle(ctx, snapshot)
}

func given(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// settle waits until the snapshot's state stays.
func (s *SnapshotService) settle(ctx context.Context, snapshot *api.Snapshot) (*api.Snapshot, error) {
	wanted := "" // the revision that an update makes
	if snapshot.Update != nil {
		wanted = snapshot.Update.ID
	}
	for pause := firstPause; ; pause = longer(pause) {
		update := snapshot.Update
		if wanted != "" && snapshot.Revision != wanted && (update == nil || update.ID != wanted) {
			return snapshot, &StateError{Noun: "The update of snapshot", Name: snapshot.Name, State: "cancelled", Reason: "it was cancelled, or another one took its place."}
		}
		if update != nil && (update.State == api.SnapshotError || update.State == api.SnapshotBuildFailed) {
			e := &StateError{Noun: "The update of snapshot", Name: snapshot.Name, State: string(update.State)}
			if update.ErrorReason != nil {
				e.Reason = *update.ErrorReason
			}
			return snapshot, e
		}
		switch {
		case update != nil: // goes on
		case snapshot.State == api.SnapshotActive:
			return snapshot, nil
		case slices.Contains([]api.SnapshotState{api.SnapshotError, api.SnapshotBuildFailed, api.SnapshotInactive, api.SnapshotRemoving}, snapshot.State):
			e := &StateError{Noun: "Snapshot", Name: snapshot.Name, State: string(snapshot.State)}
			if snapshot.ErrorReason != nil {
				e.Reason = *snapshot.ErrorReason
			}
			return snapshot, e
		}
		if err := sleep(ctx, pause); err != nil {
			return snapshot, fmt.Errorf("wait for snapshot %s, which is %s: %w", snapshot.Name, snapshot.State, err)
		}
		err := outlast(ctx, func() error {
			now, err := s.Get(ctx, snapshot.ID)
			if err == nil {
				snapshot = now
			}
			return err
		})
		if err != nil {
			return snapshot, err
		}
	}
}

// Get finds a snapshot. Errors: ErrNotFound.
func (s *SnapshotService) Get(ctx context.Context, idOrName string) (*api.Snapshot, error) {
	return s.one(ctx, http.MethodGet, idOrName, "")
}

func (s *SnapshotService) one(ctx context.Context, method, idOrName, rest string) (*api.Snapshot, error) {
	var snapshot api.Snapshot
	err := s.client.do(ctx, request{method: method, url: "/snapshots/" + url.PathEscape(idOrName) + rest}, &snapshot)
	if err != nil {
		return nil, err
	}
	return &snapshot, nil
}

// ListSnapshotsParams select a page.
type ListSnapshotsParams struct {
	Name  string // substring
	Page  int    // from 1; 0 is 1
	Limit int    // 0 is the server's default
}

// List returns a page of the organization's own snapshots and the general ones.
func (s *SnapshotService) List(ctx context.Context, p ListSnapshotsParams) (*api.PaginatedSnapshots, error) {
	q := url.Values{}
	if p.Name != "" {
		q.Set("name", p.Name)
	}
	if p.Page != 0 {
		q.Set("page", strconv.Itoa(p.Page))
	}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	var page api.PaginatedSnapshots
	if err := s.client.do(ctx, request{method: http.MethodGet, url: "/snapshots", query: q}, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// Activate makes an inactive snapshot usable again and waits until it is.
// Errors: ErrInvalid when it is active already; *StateError.
func (s *SnapshotService) Activate(ctx context.Context, idOrName string) (*api.Snapshot, error) {
	snapshot, err := s.one(ctx, http.MethodPost, idOrName, "/activate")
	if err != nil {
		return nil, err
	}
	return s.settle(ctx, snapshot)
}

// Deactivate lets the machine forget the snapshot's image until it is needed.
func (s *SnapshotService) Deactivate(ctx context.Context, idOrName string) error {
	return s.client.do(ctx, request{method: http.MethodPost, url: "/snapshots/" + url.PathEscape(idOrName) + "/deactivate"}, nil)
}

// Delete deletes a snapshot. Sandboxes made from it go on.
func (s *SnapshotService) Delete(ctx context.Context, idOrName string) error {
	return s.client.do(ctx, request{method: http.MethodDelete, url: "/snapshots/" + url.PathEscape(idOrName)}, nil)
}
