package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// sandboxPatience is how long the answer to a create, start or stop waits for
// the outcome; clients wait by events after that.
const sandboxPatience = 30 * time.Second

// javaPatience is the same for the official SDK for Java, which takes it for a
// failure when it has no answer after ten seconds.
const javaPatience = 8 * time.Second

// SandboxID is the path of most operations. huma fills in embedded types only
// when they are exported.
type SandboxID struct {
	ID string `path:"sandboxIdOrName" doc:"Id or name"`
}

type sandboxInterval struct {
	SandboxID
	Minutes int `path:"interval" doc:"Minutes"`
}

type sandboxTTL struct {
	SandboxID
	Minutes int `path:"ttlMinutes" doc:"Minutes since creation; 0 means never"`
}

type sandboxPublic struct {
	SandboxID
	Public bool `path:"isPublic"`
}

type stopSandbox struct {
	SandboxID
	Force bool `query:"force" doc:"Kill immediately"`
}

type recoverSandbox struct {
	SandboxID
	SkipStart bool `query:"skipStart" doc:"Leave it stopped"`
}

// SandboxByID is the same where the published path says so.
type SandboxByID struct {
	ID string `path:"sandboxId"`
}

type touchSandbox struct {
	SandboxByID
	Body *api.UpdateLastActivity
}

type networkSettings struct {
	SandboxID
	Body api.UpdateSandboxNetworkSettings
}

type resizeSandbox struct {
	SandboxID
	Body api.ResizeSandbox
}

type labelSandbox struct {
	SandboxID
	Body api.SandboxLabels
}

func (a *API) registerSandbox() {
	const tag = "sandbox"
	register(a, operation{id: "createSandbox", method: http.MethodPost, path: "/sandbox", needs: has(permission.WriteSandboxes), sometimes: []Sometimes{{"public is true", permission.UsePreviews}}, tag: tag, summary: "Create and start a sandbox"}, a.createSandbox)
	register(a, operation{id: "listSandboxes", method: http.MethodGet, path: "/sandbox", needs: anyKey, tag: tag, summary: "List sandboxes with cursor pagination"}, a.listSandboxes)
	register(a, operation{id: "listSandboxesPaginated", method: http.MethodGet, path: "/sandbox/paginated", needs: anyKey, tag: tag, summary: "List sandboxes with page numbers (deprecated)"}, a.pageSandboxes)
	register(a, operation{id: "getSandbox", method: http.MethodGet, path: "/sandbox/{sandboxIdOrName}", needs: anyKey, tag: tag, summary: "Get a sandbox"},
		func(ctx context.Context, in *SandboxID) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Get(ctx, caller(ctx).OrganizationID, in.ID)
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "deleteSandbox", method: http.MethodDelete, path: "/sandbox/{sandboxIdOrName}", needs: has(permission.DeleteSandboxes), tag: tag, summary: "Delete a sandbox and its disk"},
		func(ctx context.Context, in *SandboxID) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Delete(ctx, caller(ctx).OrganizationID, in.ID)
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "startSandbox", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/start", needs: has(permission.WriteSandboxes), tag: tag, summary: "Start a stopped sandbox"},
		func(ctx context.Context, in *SandboxID) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Start(ctx, caller(ctx).OrganizationID, in.ID)
			return a.started(ctx, sb, err)
		})
	register(a, operation{id: "recoverSandbox", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/recover", needs: has(permission.WriteSandboxes), tag: tag, summary: "Recover a sandbox from an error"},
		func(ctx context.Context, in *recoverSandbox) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Recover(ctx, caller(ctx).OrganizationID, in.ID, in.SkipStart)
			if !in.SkipStart {
				return a.started(ctx, sb, err)
			}
			sb, err = a.settle(ctx, sb, err)
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "stopSandbox", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/stop", needs: has(permission.WriteSandboxes), tag: tag, summary: "Stop a sandbox and keep its disk"},
		func(ctx context.Context, in *stopSandbox) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Stop(ctx, caller(ctx).OrganizationID, in.ID, in.Force)
			sb, err = a.settle(ctx, sb, err)
			return a.sandboxBody(ctx, sb, err)
		})
	a.registerForks(tag)
	register(a, operation{id: "replaceLabels", method: http.MethodPut, path: "/sandbox/{sandboxIdOrName}/labels", needs: has(permission.WriteSandboxes), tag: tag, summary: "Replace a sandbox's labels"},
		func(ctx context.Context, in *labelSandbox) (*body[api.SandboxLabels], error) {
			sb, err := a.Sandboxes.SetLabels(ctx, caller(ctx).OrganizationID, in.ID, in.Body.Labels)
			if err != nil {
				return nil, err
			}
			return &body[api.SandboxLabels]{api.SandboxLabels{Labels: sb.Labels}}, nil
		})
	for _, set := range []struct {
		id, path, summary string
		do                func(ctx context.Context, organizationID, idOrName string, minutes int) (*sandbox.Sandbox, error)
	}{
		{"setAutostopInterval", "autostop", "Set the auto-stop interval of a sandbox", a.Sandboxes.SetAutoStop},
		{"setAutoArchiveInterval", "autoarchive", "Set the auto-archive interval of a sandbox", a.Sandboxes.SetAutoArchive},
		{"setAutoDeleteInterval", "autodelete", "Set the auto-delete interval of a sandbox", a.Sandboxes.SetAutoDelete},
	} {
		register(a, operation{id: set.id, method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/" + set.path + "/{interval}", needs: has(permission.WriteSandboxes), tag: tag, summary: set.summary},
			func(ctx context.Context, in *sandboxInterval) (*body[api.Sandbox], error) {
				sb, err := set.do(ctx, caller(ctx).OrganizationID, in.ID, in.Minutes)
				return a.sandboxBody(ctx, sb, err)
			})
	}
	register(a, operation{id: "setTtl", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/ttl/{ttlMinutes}", needs: has(permission.WriteSandboxes), tag: tag, summary: "Set the time to live of a sandbox"},
		func(ctx context.Context, in *sandboxTTL) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.SetTTL(ctx, caller(ctx).OrganizationID, in.ID, in.Minutes)
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "updatePublicStatus", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/public/{isPublic}", needs: has(permission.WriteSandboxes, permission.UsePreviews), tag: tag, summary: "Make a sandbox's previews public or private"},
		func(ctx context.Context, in *sandboxPublic) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.SetPublic(ctx, caller(ctx).OrganizationID, in.ID, in.Public)
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "updateNetworkSettings", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/network-settings", needs: has(permission.WriteSandboxes), tag: tag, summary: "Update a sandbox's network policy"},
		func(ctx context.Context, in *networkSettings) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.SetNetwork(ctx, caller(ctx).OrganizationID, in.ID, sandbox.NetworkParams{
				BlockAll: in.Body.NetworkBlockAll, AllowList: in.Body.NetworkAllowList, Domains: in.Body.DomainAllowList,
			})
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "resizeSandbox", method: http.MethodPost, path: "/sandbox/{sandboxIdOrName}/resize", needs: has(permission.WriteSandboxes), tag: tag, summary: "Resize a sandbox's CPU, memory and disk"},
		func(ctx context.Context, in *resizeSandbox) (*body[api.Sandbox], error) {
			sb, err := a.Sandboxes.Resize(ctx, caller(ctx).OrganizationID, in.ID, sandbox.ResizeParams(in.Body))
			return a.sandboxBody(ctx, sb, err)
		})
	register(a, operation{id: "updateLastActivity", method: http.MethodPost, path: "/sandbox/{sandboxId}/last-activity", status: http.StatusCreated, needs: has(permission.WriteSandboxes), tag: tag, summary: "Record activity of a sandbox"},
		func(ctx context.Context, in *touchSandbox) (*none, error) {
			sb, err := a.Sandboxes.Get(ctx, caller(ctx).OrganizationID, in.ID)
			if err == nil {
				a.Sandboxes.Touch(sb.ID)
			}
			return nil, err
		})
	register(a, operation{id: "getBuildLogsUrl", method: http.MethodGet, path: "/sandbox/{sandboxIdOrName}/build-logs-url", needs: anyKey, tag: tag, summary: "Get the URL of a sandbox's build log"},
		func(ctx context.Context, in *SandboxID) (*body[api.URL], error) {
			sb, err := a.Sandboxes.Get(ctx, caller(ctx).OrganizationID, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[api.URL]{api.URL{URL: origin(ctx) + Prefix + "/sandbox/" + sb.ID + "/build-logs"}}, nil
		})
	register(a, operation{id: "getBuildLogs", method: http.MethodGet, path: "/sandbox/{sandboxIdOrName}/build-logs", needs: anyKey, tag: tag, summary: "Read the build log of a sandbox"}, a.sandboxLogs)
	register(a, operation{id: "getToolboxProxyUrl", method: http.MethodGet, path: "/sandbox/{sandboxId}/toolbox-proxy-url", needs: anyKey, tag: tag, summary: "Get the URL of a sandbox's toolbox"},
		func(ctx context.Context, in *SandboxByID) (*body[api.URL], error) {
			_, err := a.Sandboxes.Get(ctx, caller(ctx).OrganizationID, in.ID)
			return &body[api.URL]{api.URL{URL: a.toolboxURL(ctx)}}, err
		})
}

func (a *API) createSandbox(ctx context.Context, in *body[api.CreateSandbox]) (*body[api.Sandbox], error) {
	b := in.Body
	if b.Public {
		if err := caller(ctx).Need(permission.UsePreviews); err != nil {
			return nil, err
		}
	}
	if err := unsupportedOfSandbox(b); err != nil {
		return nil, err
	}
	sb, err := a.Sandboxes.Create(ctx, caller(ctx).OrganizationID, sandbox.CreateParams{
		Name: b.Name, Snapshot: b.Snapshot, Build: buildParams(b.BuildInfo), User: b.User, Env: b.Env, Labels: b.Labels, Public: b.Public,
		NetworkBlockAll: b.NetworkBlockAll, NetworkAllowList: b.NetworkAllowList, DomainAllowList: b.DomainAllowList, Region: b.Target,
		CPU: b.CPU, Memory: b.Memory, Disk: b.Disk,
		AutoStop: b.AutoStopInterval, AutoArchive: b.AutoArchiveInterval, AutoDelete: b.AutoDeleteInterval, TTL: b.TTLMinutes,
	})
	if err == nil && sb.State == sandbox.StatePendingBuild {
		// The SDKs read the log of a build that they are told is still to come, and
		// of no other; they learn the outcome afterwards.
		return a.sandboxBody(ctx, sb, a.earlyFailure(ctx, sb))
	}
	return a.started(ctx, sb, err)
}

type sandboxLogs struct {
	SandboxID
	Follow bool `query:"follow" doc:"Stream until the image is ready"`
}

func (a *API) sandboxLogs(ctx context.Context, in *sandboxLogs) (*huma.StreamResponse, error) {
	organization := caller(ctx).OrganizationID
	sb, err := a.Sandboxes.Get(ctx, organization, in.ID)
	if err != nil {
		return nil, err
	}
	s, err := a.Snapshots.Get(ctx, organization, sb.SnapshotID)
	if fault.Is(err, fault.KindNotFound) {
		return nil, fault.NotFound("BUILD_LOG_NOT_FOUND", fmt.Sprintf("The snapshot of sandbox %s has been deleted, and its log with it.", sb.Name))
	}
	if err != nil {
		return nil, err
	}
	return a.streamLog(s, in.Follow), nil
}

// settle waits for the outcome of a command, within our patience.
func (a *API) settle(ctx context.Context, sb *sandbox.Sandbox, err error) (*sandbox.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	patience := sandboxPatience
	if from(ctx).source == sourceJava {
		patience = javaPatience
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return a.Sandboxes.Settle(wait, sb)
}

// started answers with the outcome of a start. One that has failed is an error,
// which is the one form in which all official SDKs tell why.
func (a *API) started(ctx context.Context, sb *sandbox.Sandbox, err error) (*body[api.Sandbox], error) {
	sb, err = a.settle(ctx, sb, err)
	if err == nil && sb.State == sandbox.StateError {
		return nil, startFailed(sb, "")
	}
	return a.sandboxBody(ctx, sb, err)
}

// startFailed tells why the sandbox does not run, and how the log ends of what
// it was to be made from.
func startFailed(sb *sandbox.Sandbox, end string) error {
	return &startError{sandboxID: sb.ID, fault: &fault.Error{
		Kind: fault.KindInvalid, Code: api.CodeStartFailed, Message: fmt.Sprintf("Sandbox failed to start: %s (sandbox %s)%s", sb.ErrorReason, sb.ID, end),
	}}
}

// startError is a start that failed, of a sandbox that is kept.
type startError struct {
	sandboxID string
	fault     *fault.Error
}

func (e *startError) Error() string { return e.fault.Error() }

func (e *startError) Unwrap() error { return e.fault }

func (a *API) sandboxBody(ctx context.Context, sb *sandbox.Sandbox, err error) (*body[api.Sandbox], error) {
	if err != nil {
		return nil, err
	}
	return &body[api.Sandbox]{a.wireSandbox(ctx, sb)}, nil
}

// wireSandbox is the sandbox as the caller may know it.
func (a *API) wireSandbox(ctx context.Context, sb *sandbox.Sandbox) api.Sandbox {
	w := WireSandbox(sb, a.toolboxURL(ctx))
	if !caller(ctx).Can(permission.ReadEnv) {
		w.Env = HideEnv(w.Env)
	}
	return w
}

// HiddenValue stands for the value of a variable that the caller may not read.
// It is no value that one would take for the real one.
const HiddenValue = "(hidden)"

// HideEnv keeps the names and hides the values.
func HideEnv(env map[string]string) map[string]string {
	hidden := make(map[string]string, len(env))
	for name := range env {
		hidden[name] = HiddenValue
	}
	return hidden
}

// WireSandbox is the sandbox as the API tells it, with the toolbox proxy at the
// URL.
func WireSandbox(s *sandbox.Sandbox, toolbox string) api.Sandbox {
	env := s.Env
	if env == nil { // as of one that is gone; clients take no null
		env = map[string]string{}
	}
	return api.Sandbox{SandboxSummary: wireSummary(s, toolbox), Env: env}
}

func wireSummary(s *sandbox.Sandbox, toolbox string) api.SandboxSummary {
	w := api.SandboxSummary{
		ID: s.ID, OrganizationID: s.OrganizationID, Name: s.Name, Target: s.Region, SandboxClass: sandboxClass,
		State: api.SandboxState(s.State), DesiredState: string(s.Desired), Snapshot: s.Snapshot, User: s.User,
		ErrorReason: s.ErrorReason, Recoverable: s.Recoverable, Public: s.Public,
		NetworkBlockAll: s.Network.BlockAll, NetworkAllowList: s.Network.AllowList(), DomainAllowList: s.Network.DomainList(),
		CPU: s.Resources.CPU, Memory: s.Resources.Memory, Disk: s.Resources.Disk, Labels: s.Labels, BackupState: "None",
		AutoStopInterval: int(s.AutoStop / time.Minute), AutoArchiveInterval: int(s.AutoArchive / time.Minute), AutoDeleteInterval: int(s.AutoDelete / time.Minute),
		CreatedAt: timestamp(s.CreatedAt), UpdatedAt: timestamp(s.UpdatedAt), LastActivityAt: timestamp(s.LastActivityAt),
		ToolboxProxyURL: toolbox, WarmPoolID: s.WarmPoolID,
	}
	if s.DestroyAt != nil {
		w.AutoDestroyAt = timestamp(*s.DestroyAt)
	}
	return w
}

// SandboxFilter is what both lists take.
type SandboxFilter struct {
	Limit           int      `query:"limit" minimum:"1" maximum:"200" default:"100"`
	ID              string   `query:"id" doc:"Prefix"`
	Name            string   `query:"name" doc:"Prefix, case-insensitive"`
	Labels          string   `query:"labels" doc:"JSON object of labels that sandboxes must have"`
	States          []string `query:"states,explode"`
	Snapshots       []string `query:"snapshots,explode"`
	MinCPU          float64  `query:"minCpu"`
	MaxCPU          float64  `query:"maxCpu"`
	MinMemory       float64  `query:"minMemoryGiB"`
	MaxMemory       float64  `query:"maxMemoryGiB"`
	MinDisk         float64  `query:"minDiskGiB"`
	MaxDisk         float64  `query:"maxDiskGiB"`
	LastEventAfter  moment   `query:"lastEventAfter"`
	LastEventBefore moment   `query:"lastEventBefore"`
	Sort            string   `query:"sort" enum:"name,cpu,memoryGib,diskGib,lastActivityAt,createdAt"`
	Order           string   `query:"order" enum:"asc,desc"`
}

func (f SandboxFilter) filter(ctx context.Context) (sandbox.Filter, error) {
	out := sandbox.Filter{
		OrganizationID: caller(ctx).OrganizationID, IDPrefix: f.ID, NamePrefix: f.Name, Snapshots: f.Snapshots,
		CPU: between(f.MinCPU, f.MaxCPU), Memory: between(f.MinMemory, f.MaxMemory), Disk: between(f.MinDisk, f.MaxDisk),
		Event: during(f.LastEventAfter, f.LastEventBefore),
		Sort:  sandbox.SortField(f.Sort), Descending: f.Order == "desc" || f.Order == "" && f.Sort == "", Limit: f.Limit,
	}
	for _, s := range f.States {
		out.States = append(out.States, sandbox.State(s))
	}
	if f.Labels != "" {
		if err := json.Unmarshal([]byte(f.Labels), &out.Labels); err != nil {
			return out, fault.Invalid("labels", `labels must be a JSON object of strings, such as {"team":"blue"}.`)
		}
	}
	return out, nil
}

func between(low, high float64) (r sandbox.Range) {
	if low != 0 {
		r.Min = &low
	}
	if high != 0 {
		r.Max = &high
	}
	return r
}

func during(after, before moment) (r sandbox.TimeRange) {
	if !after.IsZero() {
		r.After = &after.Time
	}
	if !before.IsZero() {
		r.Before = &before.Time
	}
	return r
}

type listSandboxes struct {
	SandboxFilter
	Cursor            string   `query:"cursor" doc:"nextCursor of the previous page"`
	Regions           []string `query:"regionIds,explode"`
	IsPublic          string   `query:"isPublic" enum:"true,false"`
	IsRecoverable     string   `query:"isRecoverable" enum:"true,false"`
	Classes           []string `query:"sandboxClasses,explode"`
	MinGPU            float64  `query:"minGpu"`
	Warm              bool     `query:"includeWarm" doc:"Include sandboxes that wait in a warm pool"`
	CreatedAtAfter    moment   `query:"createdAtAfter"`
	CreatedAtBefore   moment   `query:"createdAtBefore"`
	AutoDestroyAfter  moment   `query:"autoDestroyAtAfter"`
	AutoDestroyBefore moment   `query:"autoDestroyAtBefore"`
}

func (a *API) listSandboxes(ctx context.Context, in *listSandboxes) (*body[api.ListSandboxesResponse], error) {
	f, err := in.filter(ctx)
	if err != nil {
		return nil, err
	}
	f.Cursor, f.Regions, f.Warm = in.Cursor, in.Regions, in.Warm
	f.Public, f.Recoverable = flag(in.IsPublic), flag(in.IsRecoverable)
	f.Created, f.Destroy = during(in.CreatedAtAfter, in.CreatedAtBefore), during(in.AutoDestroyAfter, in.AutoDestroyBefore)
	out := api.ListSandboxesResponse{Items: []api.SandboxSummary{}}
	if in.MinGPU > 0 || len(in.Classes) > 0 && !slices.Contains(in.Classes, sandboxClass) {
		return &body[api.ListSandboxesResponse]{out}, nil // none is such
	}
	page, next, err := a.Sandboxes.List(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, sb := range page {
		out.Items = append(out.Items, wireSummary(sb, a.toolboxURL(ctx)))
	}
	if next != "" {
		out.NextCursor = &next
	}
	return &body[api.ListSandboxesResponse]{out}, nil
}

type pageSandboxes struct {
	SandboxFilter
	Page    int      `query:"page" minimum:"1" default:"1"`
	Regions []string `query:"regions,explode"`
}

func (a *API) pageSandboxes(ctx context.Context, in *pageSandboxes) (*body[api.PaginatedSandboxes], error) {
	f, err := in.filter(ctx)
	if err != nil {
		return nil, err
	}
	f.Regions = in.Regions
	page, total, err := a.Sandboxes.Page(ctx, f, in.Page)
	if err != nil {
		return nil, err
	}
	out := api.PaginatedSandboxes{Items: []api.Sandbox{}, Total: total, Page: in.Page, TotalPages: pages(total, in.Limit)}
	for _, sb := range page {
		out.Items = append(out.Items, a.wireSandbox(ctx, sb))
	}
	return &body[api.PaginatedSandboxes]{out}, nil
}

// flag is a query parameter that may be absent.
func flag(text string) *bool {
	if text == "" {
		return nil
	}
	yes := text == "true"
	return &yes
}
