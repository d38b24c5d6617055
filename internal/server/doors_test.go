package server

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/opendaytona/daytona/internal/access"
	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
)

func TestADoorOpensForKeysOfTheOrganization(t *testing.T) {
	s := start(t, testConfig(t, "--mirror", "docker.io="+testHub(t)), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	box := func() string {
		t.Helper()
		return s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)["id"].(string)
	}
	id := box()
	organization := s.call("GET", "/api/sandbox/box", "", 200)["organizationId"].(string)
	if err := s.db.Found(t.Context(), &account.User{ID: "other", Email: "other"}, &account.Organization{ID: "other", CreatedBy: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.InsertKey(t.Context(), &account.Key{Hash: account.HashKey("strange"), Name: "k", OrganizationID: "other", UserID: "other", Permissions: account.AllPermissions(false)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		authorization, organization, sandbox string
		fails                                fault.Kind
	}{
		{"Bearer " + s.creds.APIKey, "", "box", 0},
		{"bearer " + s.creds.APIKey, organization, id, 0},
		{"Bearer " + s.creds.APIKey, "", "box", 0}, // remembered
		{"Bearer " + s.creds.APIKey, "other", "box", fault.KindForbidden},
		{"Bearer " + s.creds.APIKey, "", "none", fault.KindNotFound},
		{"Bearer strange", "", "box", fault.KindNotFound},
		{"Bearer strange", "", id, fault.KindNotFound},
		{"Bearer wrong", "", "box", fault.KindUnauthorized},
		{"", "", "box", fault.KindUnauthorized},
		{s.creds.APIKey, "", "box", fault.KindUnauthorized},
	} {
		got, err := s.toolboxes().AuthorizeToolbox(t.Context(), c.authorization, c.organization, c.sandbox)
		if c.fails == 0 && (err != nil || got != id) || c.fails != 0 && !fault.Is(err, c.fails) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}

	// Its name becomes another sandbox's.
	s.call("DELETE", "/api/sandbox/box", "", 200)
	s.eventually("the sandbox is gone", func() bool {
		_, err := s.sandboxes.Get(t.Context(), organization, "box")
		return fault.Is(err, fault.KindNotFound)
	})
	s.eventually("its door is forgotten", func() bool {
		_, err := s.toolboxes().AuthorizeToolbox(t.Context(), "Bearer "+s.creds.APIKey, "", id)
		return fault.Is(err, fault.KindNotFound)
	})
	next := box()
	if got, err := s.toolboxes().AuthorizeToolbox(t.Context(), "Bearer "+s.creds.APIKey, "", "box"); err != nil || got != next {
		t.Errorf("the name leads to %q, %v; want %q", got, err, next)
	}
}

func BenchmarkDoor(b *testing.B) {
	s := openForBenchmark(b)
	authorization := "Bearer " + s.key
	toolboxes := access.Toolboxes{Accounts: s.accounts, Sandboxes: anyBox{}, Cache: s.names}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := toolboxes.AuthorizeToolbox(b.Context(), authorization, "", "box"); err != nil {
			b.Fatal(err)
		}
	}
}

type benchServer struct {
	*server
	key string
}

// openForBenchmark is an open server that knows one sandbox, box.
func openForBenchmark(b *testing.B) benchServer {
	b.Helper()
	e := newMemoryEngine(b, nil)
	s, err := openServer(b.Context(), config.Config{
		DataDir: filepath.Join(b.TempDir(), "data"), Listen: "127.0.0.1:0", Region: "us", DefaultImage: config.DefaultImageNone,
	}, testHost(e), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.close(); err != nil {
			b.Error(err)
		}
	})
	creds, err := config.ReadCredentials(s.Below(config.CredentialsName))
	if err != nil {
		b.Fatal(err)
	}
	return benchServer{s, creds.APIKey}
}

// anyBox finds a sandbox by any name.
type anyBox struct{}

func (anyBox) Get(_ context.Context, organization, name string) (*sandbox.Sandbox, error) {
	return &sandbox.Sandbox{ID: "id", Name: name, OrganizationID: organization}, nil
}
