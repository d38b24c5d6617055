package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/sandbox"
)

func (a *API) registerMeta() {
	register(a, operation{id: "health", method: http.MethodGet, path: "/health", public: true, tag: "health", summary: "Check that the server is running"},
		func(context.Context, *none) (*body[api.Health], error) {
			return &body[api.Health]{api.Health{Status: "ok"}}, nil
		})
	ready := &readiness{checks: a.Ready, log: a.Log}
	register(a, operation{id: "ready", method: http.MethodGet, path: "/health/ready", public: true, tag: "health", summary: "Check that all parts of the server work"},
		func(ctx context.Context, _ *none) (*body[api.Health], error) {
			failed, err := ready.failures(ctx)
			if err != nil {
				return nil, err
			}
			if len(failed) > 0 {
				return nil, fault.Unavailable("NOT_READY", "The server is not ready: "+strings.Join(failed, ", ")+"; see its log.")
			}
			h := api.Health{Status: "ok", Checks: map[string]string{}}
			for name := range a.Ready {
				h.Checks[name] = "ok"
			}
			return &body[api.Health]{h}, nil
		})
	register(a, operation{id: "getConfig", method: http.MethodGet, path: "/config", public: true, tag: "config", summary: "Get the public configuration of the server"},
		func(ctx context.Context, _ *none) (*body[api.Configuration], error) {
			return &body[api.Configuration]{api.Configuration{
				Version: a.Version, Announcements: map[string]any{}, ProxyTemplateURL: a.Previews.Domain.Template(origin(ctx)), ProxyToolboxURL: a.toolboxURL(ctx), DefaultSnapshot: a.DefaultSnapshot,
				DashboardURL: origin(ctx), MaxAutoArchiveInterval: int(sandbox.MaxAutoArchive / time.Minute), Environment: "production",
			}}, nil
		})
	regions := func(context.Context, *none) (*body[[]api.Region], error) {
		out := []api.Region{}
		for _, r := range a.Regions.List() {
			out = append(out, wireRegion(r))
		}
		return &body[[]api.Region]{out}, nil
	}
	register(a, operation{id: "listRegions", method: http.MethodGet, path: "/regions", needs: anyKey, tag: "regions", summary: "List the regions that you can use"}, regions)
	register(a, operation{id: "listSharedRegions", method: http.MethodGet, path: "/shared-regions", needs: anyKey, tag: "regions", summary: "List the regions that all organizations can use"}, regions)
	register(a, operation{id: "getRegion", method: http.MethodGet, path: "/regions/{id}", needs: anyKey, tag: "regions", summary: "Get a region"},
		func(_ context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[api.Region], error) {
			r, err := a.Regions.Get(in.ID)
			return &body[api.Region]{wireRegion(r)}, err
		})
}

func wireRegion(r region.Region) api.Region {
	at := timestamp(r.CreatedAt)
	return api.Region{ID: r.ID, Name: r.Name, RegionType: "shared", CreatedAt: at, UpdatedAt: at}
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// docs lists the operations in plain HTML, from the OpenAPI document.
func (a *API) docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := docsPage.Execute(w, a.huma.OpenAPI()); err != nil {
		a.Log.Error("render the API's documentation", "err", fmt.Errorf("docs: %w", err))
	}
}
