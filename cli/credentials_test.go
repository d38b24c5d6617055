//go:build linux

package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opendaytona/daytona/internal/testserver"
)

// echoing is a server that remembers the key it was last called with.
func echoing(t *testing.T) (apiURL string, key func() string) {
	t.Helper()
	var last atomic.Value
	last.Store("")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		fmt.Fprint(w, `{"items":[]}`)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/api", func() string { return last.Swap("").(string) }
}

func TestFlagsWinOverTheEnvironmentOverTheProfileOverThisMachine(t *testing.T) {
	bare(t)
	url, key := echoing(t)
	if r := run(t, "list"); r.code != exitPermission || !strings.Contains(r.err, "daytona login") {
		t.Errorf("nothing known: %+v", r)
	}
	local, err := json.Marshal(credentials{APIURL: url, APIKey: "local"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("DAYTONA_DATA_DIR"), "credentials.json"), local, 0o600); err != nil {
		t.Fatal(err)
	}
	expect := func(want string, args ...string) {
		t.Helper()
		must(t, append([]string{"list"}, args...)...)
		if got := key(); got != want {
			t.Errorf("the key sent is %q, want %q", got, want)
		}
	}
	expect("local")
	must(t, "login", "--api-url", url+"/", "--api-key", "first")
	must(t, "login", "--api-url", url, "--api-key", "second", "--profile", "work")
	key()
	expect("second") // the last login
	must(t, "profile", "use", "default")
	expect("first")
	expect("second", "--profile", "work")
	t.Setenv("DAYTONA_API_URL", url)
	t.Setenv("DAYTONA_API_KEY", "environment")
	expect("environment")
	expect("second", "--profile", "work")
	expect("flag", "--api-key", "flag")
	expect("flag", "--api-key", "flag", "--profile", "work")
}

func TestAKeyGoesToNoOtherServer(t *testing.T) {
	bare(t)
	mine, mineKey := echoing(t)
	other, otherKey := echoing(t)
	must(t, "login", "--api-url", mine, "--api-key", "secret")
	mineKey()
	for _, args := range [][]string{{"list", "--api-url", other}, {"list", "--api-url", other, "--profile", "default"}} {
		if r := run(t, args...); r.code != exitPermission || !strings.Contains(r.err, other) {
			t.Errorf("%q: %+v", args, r)
		}
	}
	t.Setenv("DAYTONA_API_URL", other)
	if r := run(t, "list"); r.code != exitPermission {
		t.Errorf("by the environment: %+v", r)
	}
	if got := otherKey(); got != "" {
		t.Errorf("another server was told %q", got)
	}
	must(t, "list", "--profile", "default") // the flag wins over the environment
	t.Setenv("DAYTONA_API_URL", mine)
	must(t, "list")
	if got := mineKey(); got != "secret" {
		t.Errorf("its own server was told %q", got)
	}
}

func TestLoginTriesTheKeyAndKeepsItForItsOwnerOnly(t *testing.T) {
	bare(t)
	s := testserver.Start(t)
	if r := run(t, "login", "--api-url", s.APIURL, "--api-key", "dtn_wrong"); r.code != exitPermission {
		t.Errorf("a wrong key: %+v", r)
	}
	path := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "daytona", "config.yaml")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a wrong key was kept: %v", err)
	}
	if r := run(t, "login", "--api-url", "http://127.0.0.1:1/api", "--api-key", s.Key); r.code != exitFailed || !strings.Contains(r.err, "does not answer") {
		t.Errorf("nobody there: %+v", r)
	}
	if r := run(t, "login", "--api-url", s.APIURL); r.code != exitUsage {
		t.Errorf("no key: %+v", r)
	}
	if r := runWith(t, t.Context(), s.Key+"\n", "login", "--api-url", s.APIURL, "--api-key", "-"); r.code != 0 {
		t.Fatalf("a key from standard input: %+v", r)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if out := must(t, "env"); out != fmt.Sprintf("export DAYTONA_API_URL=%s\nexport DAYTONA_API_KEY=%s\n", s.APIURL, s.Key) {
		t.Errorf("env printed %q", out)
	}
}

func TestEnvPrintsWhatIsRememberedWhateverTheVariablesAreAndSaysWhich(t *testing.T) {
	bare(t)
	t.Setenv("DAYTONA_API_URL", "https://other.example.com/api")
	t.Setenv("DAYTONA_API_KEY", "other")
	if r := run(t, "env"); r.code != exitPermission || r.out != "" {
		t.Errorf("nothing known: %+v", r)
	}
	file := filepath.Join(os.Getenv("DAYTONA_DATA_DIR"), "credentials.json")
	if err := os.WriteFile(file, []byte(`{"apiUrl":"http://127.0.0.1:3986/api","apiKey":"local"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect := func(url, key, source string, args ...string) {
		t.Helper()
		r := run(t, append([]string{"env"}, args...)...)
		if want := fmt.Sprintf("export DAYTONA_API_URL=%s\nexport DAYTONA_API_KEY=%s\n", url, key); r.code != 0 || r.out != want {
			t.Errorf("%+v, want %q", r, want)
		}
		if !strings.Contains(r.err, url) || !strings.Contains(r.err, source) {
			t.Errorf("it says %q, want %s of it", r.err, source)
		}
	}
	expect("http://127.0.0.1:3986/api", "local", file)
	url, _ := echoing(t)
	must(t, "login", "--api-url", url, "--api-key", "mine", "--profile", "work")
	expect(url, "mine", "profile work")
	expect("http://h/api", "k", "flags", "--api-url", "http://h/api", "--api-key", "k")
	if r := run(t, "env", "--api-url", "http://h/api"); r.code != exitPermission || r.out != "" {
		t.Errorf("a key goes to another server: %+v", r)
	}
}

func TestHelpShowsSwitchesAsEverywhereElse(t *testing.T) {
	bare(t)
	for _, args := range [][]string{{"--help"}, {"create", "--help"}, {"snapshot", "create", "--help"}} {
		if out := must(t, args...); strings.Contains(out, "true|false") || !strings.Contains(out, "-h, --help ") {
			t.Errorf("%v: %s", args, out)
		}
	}
}

func TestProfilesAreListedUsedAndDeleted(t *testing.T) {
	bare(t)
	url, _ := echoing(t)
	must(t, "login", "--api-url", url, "--api-key", "a", "--profile", "one")
	must(t, "login", "--api-url", url, "--api-key", "b", "--profile", "two")
	var list []struct {
		Name, APIURL string
		Current      bool
	}
	if err := json.Unmarshal([]byte(must(t, "profile", "list", "-f", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "one" || list[0].Current || !list[1].Current || list[1].APIURL != url {
		t.Errorf("listed %+v", list)
	}
	if out := must(t, "profile", "list"); strings.Contains(out, " a ") || !strings.Contains(out, "two") {
		t.Errorf("table %q", out)
	}
	for _, verb := range []string{"use", "delete"} {
		if r := run(t, "profile", verb, "none"); r.code != exitUsage || !strings.Contains(r.err, "none") {
			t.Errorf("%s of none: %+v", verb, r)
		}
	}
	must(t, "profile", "delete", "two")
	if r := run(t, "list", "--profile", "two"); r.code != exitUsage {
		t.Errorf("a deleted profile: %+v", r)
	}
	if r := run(t, "list"); r.code != exitPermission {
		t.Errorf("no current profile: %+v", r)
	}
	must(t, "profile", "use", "one")
	must(t, "list")
}

func TestADamagedFileIsNamed(t *testing.T) {
	bare(t)
	path := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "daytona", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, says string
		code       int
	}{{"profiles: [", path, exitFailed}, {"current: gone\n", "daytona login", exitPermission}, {"", "daytona login", exitPermission}} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := run(t, "list"); r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%q: %+v", c.text, r)
		}
	}
	url, _ := echoing(t)
	must(t, "login", "--api-url", url, "--api-key", "a") // over an empty file
	if err := os.WriteFile(filepath.Join(os.Getenv("DAYTONA_DATA_DIR"), "credentials.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "profile", "delete", "default")
	if r := run(t, "list"); r.code != exitFailed || !strings.Contains(r.err, "credentials.json") {
		t.Errorf("damaged local credentials: %+v", r)
	}
}
