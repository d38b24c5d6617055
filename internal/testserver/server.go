//go:build linux

// Package testserver runs the real control plane (its services, its store, its
// API and the toolbox proxy) for the tests of the SDK and of the CLI. Only the
// machine below is made up: images are names, and a sandbox is a directory with
// a real agent in it (machine.go). Product code must not import it.
package testserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/adapter"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fileurl"
	"github.com/opendaytona/daytona/internal/gateway"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/quota"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/registrycreds"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/signedtoken"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/store"
)

// Server is one running server.
type Server struct {
	APIURL  string
	Key     string // of the administrator
	Images  *Images
	Machine *Machine
}

// Start runs a server until the test ends. Its default snapshot is "default",
// which is not there yet.
func Start(t testing.TB) *Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), secretbox.NewKey(), log)
	must(t, err)
	accounts := account.NewService(account.Config{
		Store: db, Clock: clock.RealClock{}, DefaultRegion: "us", DeactivateAfter: 14 * 24 * time.Hour,
		Quota: quota.Limits{MaxCPU: 4, MaxMemory: 8, MaxDisk: 10, TotalCPU: 100, TotalMemory: 100, TotalDisk: 1000, Snapshots: 30},
	})
	key, err := accounts.Bootstrap(t.Context(), "")
	must(t, err)
	logs, err := buildlog.New(t.TempDir())
	must(t, err)
	regions := &region.Service{Regions: []region.Region{{ID: "us", Name: "us"}}, OrganizationDefault: accounts.OrganizationRegion}
	s := &Server{Key: key, Images: &Images{held: map[string]string{}}, Machine: newMachine(t)}
	jobs := controller.New(controller.Options{Log: log})
	snapshots := snapshot.NewService(snapshot.Config{
		Store: db, Images: s.Images, Captures: captures{s.Machine, s.Images}, Regions: regions, Limits: accounts, Events: silence{}, Logs: logs, Clock: clock.RealClock{}, Log: log, Controller: jobs, Builder: s.Images, Builds: 2,
	})
	sandboxes := sandbox.NewService(sandbox.Config{
		Secrets: secretbox.NewKey(),
		Store:   db, Engine: s.Machine, Agents: gateway.NewAgents(s.Machine), Snapshots: snapshots, Regions: regions, Limits: accounts, Events: silence{},
		Clock: clock.RealClock{}, Log: log, DefaultSnapshot: "default", Controller: jobs,
	})
	encryption, err := secretbox.ParseKey(secretbox.NewKeyText())
	must(t, err)
	registries := &registrycreds.Service{Store: db, Sealer: encryption, Tester: hubs{}, Clock: clock.RealClock{}, Log: log}
	previews := preview.NewService(preview.Config{
		Domain: "localhost", Store: db, Sandboxes: adapter.PreviewSandboxes{Service: sandboxes}, Keys: adapter.PreviewKeys{Service: accounts}, Secret: signedtoken.Key("of tests"), Clock: clock.RealClock{},
	})
	fileURLs := &fileurl.Service{Sandboxes: adapter.FileURLSandboxes{Service: sandboxes}, Secret: previews.Secret, Clock: clock.RealClock{}}
	proxy := gateway.NewPreview(gateway.PreviewConfig{
		Admission: previews, Domain: previews.Domain, Dialer: s.Machine, Touch: sandboxes.Touch, Log: log,
		Origin: func(r *http.Request) string { return httpapi.Origin(r, "") },
	})
	mux := http.NewServeMux()
	mux.Handle(httpapi.ToolboxPath+"/", http.StripPrefix(httpapi.ToolboxPath, gateway.New(gateway.Config{
		Authorizer: &door{accounts, sandboxes}, FileURLs: fileURLs, Dialer: s.Machine, Touch: sandboxes.Touch, Log: log,
	})))
	mux.Handle("/", httpapi.New(httpapi.Config{
		Accounts: accounts, Regions: regions, Snapshots: snapshots, Sandboxes: sandboxes, Registries: registries, Usage: db, Logs: logs, Log: log, Version: "test", Previews: previews, FileURLs: fileURLs,
		DefaultSnapshot: "default", Ready: map[string]func(context.Context) error{"database": db.Ping},
	}))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxy.Serves(r.Host) {
			proxy.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	s.APIURL = web.URL + httpapi.Prefix

	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for _, run := range []func(context.Context) error{jobs.Run, snapshots.Run, sandboxes.Run} {
		workers.Go(func() {
			// A test may end before the workers have looked around.
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		stop()
		workers.Wait()
		s.Machine.halt()
		must(t, db.Close())
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// door lets a key into its organization's sandboxes (gateway.Authorizer).
type door struct {
	accounts  *account.Service
	sandboxes *sandbox.Service
}

func (d *door) AuthorizeToolbox(ctx context.Context, authorization, organization, idOrName string) (string, error) {
	p, err := d.accounts.Authenticate(ctx, httperror.BearerToken(authorization), organization)
	if err != nil {
		return "", err
	}
	sb, err := d.sandboxes.Get(ctx, p.OrganizationID, idOrName)
	if err != nil {
		return "", err
	}
	return sb.ID, nil
}

// hubs know every user by the password "right" (registrycreds.Tester).
type hubs struct{}

func (hubs) Test(_ context.Context, host string, c registrycreds.Credential) string {
	if c.Password == "right" {
		return ""
	}
	return host + " refuses the user " + c.Username + "."
}

// silence is nobody listening to events.
type silence struct{}

func (silence) SnapshotCreated(*snapshot.Snapshot)                           {}
func (silence) SnapshotStateChanged(*snapshot.Snapshot, snapshot.State)      {}
func (silence) SnapshotRemoved(*snapshot.Snapshot)                           {}
func (silence) SandboxCreated(*sandbox.Sandbox)                              {}
func (silence) SandboxStateChanged(*sandbox.Sandbox, sandbox.State)          {}
func (silence) SandboxDesiredStateChanged(*sandbox.Sandbox, sandbox.Desired) {}
