package server

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/config"
)

func TestCredentialsAreKeptForRootAndFollowTheAddress(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	s := start(t, c, testHost(e))
	path := s.Below(config.CredentialsName)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("everyone may read the credentials: %s", info.Mode())
	}
	if want := "http://" + s.http.Address().String() + "/api"; s.creds.APIURL != want {
		t.Errorf("the URL is %s, want %s", s.creds.APIURL, want)
	}
	s.call("GET", "/api/users/me", "", 200)
	s.stop()
	if info, err := os.Stat(s.Below(config.DatabaseName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("everyone may read the database: %v %v", info.Mode(), err)
	}

	c.PublicURL = "https://daytona.example.com"
	again := start(t, c, testHost(e))
	want := config.Credentials{APIURL: "https://daytona.example.com/api", APIKey: s.creds.APIKey, DashboardURL: "https://daytona.example.com"}
	if again.creds != want {
		t.Errorf("after a move: %+v, want %+v", again.creds, want)
	}
	again.stop()

	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openServer(t.Context(), c, testHost(e), again.log); err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("with damaged credentials: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	renewed := start(t, testConfig(t, "--data-dir", c.DataDir), testHost(e))
	if renewed.creds.APIKey == s.creds.APIKey {
		t.Error("no new key was made")
	}
	if status, _ := renewed.raw("GET", renewed.origin()+"/api/users/me", s.creds.APIKey, ""); status != 401 {
		t.Errorf("the lost key still works: %d", status)
	}
}

func TestTheConfiguredKeyIsTheOneThatWorks(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 32)
	for _, step := range []struct{ configured, works, fails string }{
		{"", "", first},
		{first, first, second},
		{first, first, second},
		{second, second, first},
		{"", "", second},
	} {
		c.AdminAPIKey = step.configured
		s := start(t, c, testHost(e))
		if step.works != "" {
			if status, text := s.raw("GET", s.origin()+"/api/api-keys/current", step.works, ""); status != 200 || !strings.Contains(text, account.ConfiguredKeyName) {
				t.Errorf("%+v: %d %s", step, status, text)
			}
		}
		if status, _ := s.raw("GET", s.origin()+"/api/users/me", step.fails, ""); status != 401 {
			t.Errorf("%+v: the other key: %d", step, status)
		}
		s.call("GET", "/api/users/me", "", 200)
		s.stop()
	}
}

func TestAConfiguredKeyThatIsAnotherKeyIsRefused(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	s := start(t, c, testHost(e))
	s.stop()
	c.AdminAPIKey = s.creds.APIKey
	if _, err := openServer(t.Context(), c, testHost(e), s.log); err == nil || !strings.Contains(err.Error(), "local-admin") {
		t.Errorf("got %v", err)
	}
}
