package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// web is the API over the store. Sandboxes run in memory, so that nothing is
// measured but the server.
type web struct {
	server *httptest.Server
	engine *enginetest.Engine
	key    string
	logs   string
	stop   context.CancelFunc
	ended  chan error
}

type silent struct{}

func (silent) SandboxCreated(*sandbox.Sandbox)                              {}
func (silent) SandboxStateChanged(*sandbox.Sandbox, sandbox.State)          {}
func (silent) SandboxDesiredStateChanged(*sandbox.Sandbox, sandbox.Desired) {}
func (silent) SnapshotCreated(*snapshot.Snapshot)                           {}
func (silent) SnapshotStateChanged(*snapshot.Snapshot, snapshot.State)      {}
func (silent) SnapshotRemoved(*snapshot.Snapshot)                           {}

func (f *filled) serve(ctx context.Context, key *secretbox.Key, log *slog.Logger) (*web, error) {
	w := &web{engine: enginetest.NewMachine().Open(), key: f.key, ended: make(chan error, 2)}
	var err error
	if w.logs, err = os.MkdirTemp("", "tables-logs-"); err != nil {
		return nil, err
	}
	logs, err := buildlog.New(w.logs)
	if err != nil {
		return nil, err
	}
	regions := &region.Service{Regions: []region.Region{{ID: "us", Name: "us"}}, OrganizationDefault: f.accounts.OrganizationRegion}
	jobs := controller.New(controller.Options{Log: log})
	snapshots := snapshot.NewService(snapshot.Config{Controller: jobs, Store: f.db, Regions: regions, Limits: f.accounts, Events: silent{}, Logs: logs, Clock: clock.RealClock{}, Log: log})
	sandboxes := sandbox.NewService(sandbox.Config{
		Store: f.db, Secrets: key, Engine: w.engine, Snapshots: snapshots, Regions: regions, Limits: f.accounts, Events: silent{},
		Clock: clock.RealClock{}, Log: log, DefaultSnapshot: "template", Controller: jobs,
	})
	rows, err := f.db.AllSandboxes(ctx)
	if err != nil {
		return nil, err
	}
	for _, sb := range rows {
		if err := w.engine.Create(ctx, engine.Spec{ID: sb.ID}); err != nil {
			return nil, err
		}
	}
	var running context.Context
	running, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, run := range []func(context.Context) error{jobs.Run, sandboxes.Run} {
		go func() { w.ended <- run(running) }()
	}
	if err := sandboxes.Resume(ctx); err != nil {
		return nil, err
	}
	w.server = httptest.NewServer(httpapi.New(httpapi.Config{
		Accounts: f.accounts, Regions: regions, Snapshots: snapshots, Sandboxes: sandboxes, Usage: f.db, Previews: preview.NewService(preview.Config{Domain: "localhost"}), Logs: logs, Log: log, Version: "bench",
		DefaultSnapshot: "template", Ready: map[string]func(context.Context) error{"database": f.db.Ping},
	}))
	return w, nil
}

func (w *web) close() error {
	w.server.Close()
	w.stop()
	return errors.Join(<-w.ended, <-w.ended, w.engine.Close(), os.RemoveAll(w.logs))
}

// call makes a request, which must be answered with 200, and returns the answer's id.
func (w *web) call(ctx context.Context, method, path, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.server.URL+httpapi.Prefix+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	var got struct{ ID string }
	_ = json.Unmarshal(text, &got) // not every answer has one
	return got.ID, nil
}

func (w *web) prepare(f *filled, add func(string, func(context.Context) error), addWith func(string, func(context.Context) error, func(context.Context) error, func(context.Context) error), box, snap string) {
	get := func(what, path string) {
		add("API: "+what, func(ctx context.Context) error { _, err := w.call(ctx, "GET", path, ""); return err })
	}
	var id string
	nothing := func(context.Context) error { return nil }
	addWith("API: create a sandbox until it is started", nothing, func(ctx context.Context) (err error) {
		f.n++
		id, err = w.call(ctx, "POST", "/sandbox", fmt.Sprintf(`{"name":"api-%d","snapshot":"template"}`, f.n))
		return err
	}, func(ctx context.Context) error {
		_, err := w.call(ctx, "DELETE", "/sandbox/"+id, "")
		return err
	})
	get("get a sandbox", "/sandbox/"+box)
	get("list sandboxes, 10 of them", "/sandbox?limit=10")
	get("list those with a label", "/sandbox?limit=10&labels=%7B%22team%22%3A%223%22%7D")
	get("list those of a state", "/sandbox?limit=10&states=error")
	get("page 1 by number, with the total", "/sandbox/paginated?limit=10&page=1")
	get("list snapshots", "/snapshots?limit=10")
	get("get a snapshot", "/snapshots/"+snap)
	get("readiness", "/health/ready")
}
