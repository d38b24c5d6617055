package server

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/config"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local"
)

// breaking fails to start and to capture sandboxes as the system does, with the
// paths of its files.
type breaking struct {
	*memoryEngine
	dirs []string
}

func (b *breaking) fail(what string) error {
	err := error(unix.EIO)
	for _, dir := range b.dirs {
		err = fmt.Errorf("%s: %w", what, &fs.PathError{Op: "open", Path: filepath.Join(dir, "disks/pool/box/upper"), Err: err})
	}
	return err
}

func (b *breaking) Start(context.Context, engine.Spec) error      { return b.fail("start") }
func (b *breaking) Capture(context.Context, string, string) error { return b.fail("capture") }

func TestNoErrorNamesAPathOfTheServer(t *testing.T) {
	c := testConfig(t, "--mirror", "docker.io="+testHub(t))
	e := &breaking{newMemoryEngine(t, http.HandlerFunc(echo)), []string{c.DataDir, c.RuntimeDir, "/sys/fs/cgroup"}}
	m := testHost(e.memoryEngine)
	m.openEngine = func(context.Context, local.Options) (hostEngine, error) { e.open(); return e, nil }
	ts := start(t, c, m)
	ts.snapshotOf(ts.creds.APIKey, "small", "library/small:1")
	clear := func(what, text string) {
		t.Helper()
		for _, dir := range e.dirs {
			if strings.Contains(text, dir) {
				t.Errorf("%s names %s: %s", what, dir, text)
			}
		}
	}
	_, text := ts.raw("POST", ts.origin()+"/api/sandbox", ts.creds.APIKey, `{"snapshot":"small","name":"box"}`)
	if clear("a sandbox", text); !strings.Contains(text, "start: open …/upper") {
		t.Errorf("a sandbox tells nothing of the cause: %s", text)
	}
	pool := read[api.WarmPool](t, ts.ask(ts.creds.APIKey, "POST", "/warm-pools", api.CreateWarmPool{Snapshot: "small", Pool: 1}, 201))
	ts.eventually("the pool tells why it is empty", func() bool {
		text = ts.ask(ts.creds.APIKey, "GET", "/warm-pools", nil, 200)
		return strings.Contains(text, "…/upper")
	})
	clear("a warm pool", text)
	ts.ask(ts.creds.APIKey, "DELETE", "/warm-pools/"+pool.ID, nil, 204)

	// The store of images, whose place is taken by files.
	layers := filepath.Join(c.DataDir, config.ImagesName, "content/ingest")
	if err := os.RemoveAll(layers); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(layers, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]any{
		"pulled": api.CreateSnapshot{Name: "pulled", ImageName: "library/small:2"},
		"built":  map[string]any{"name": "built", "buildInfo": map[string]string{"dockerfileContent": "FROM library/small:1\nCOPY x /x\n"}},
	} {
		ts.ask(ts.creds.APIKey, "POST", "/snapshots", ask, 200)
		ts.eventually(name+" has failed", func() bool {
			text = ts.ask(ts.creds.APIKey, "GET", "/snapshots/"+name, nil, 200)
			return strings.Contains(text, `"error"`) || strings.Contains(text, `"build_failed"`)
		})
		clear(name, text)
		clear("the log of "+name, ts.ask(ts.creds.APIKey, "GET", "/snapshots/"+name+"/build-logs", nil, 200))
	}

	// The registry that is pushed to, and the archives.
	access := read[api.RegistryPushAccess](t, ts.ask(ts.creds.APIKey, "GET", "/docker-registry/registry-push-access", nil, 200))
	request := func(method, path string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, ts.origin()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(access.Username, access.Secret)
		res, err := ts.client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var all strings.Builder
		_ = res.Write(&all)
		return res.StatusCode, all.String()
	}
	if status, text := request("POST", "/v2/"+access.Project+"/app/blobs/uploads/"); status != 202 {
		t.Fatalf("begin a push: %d %s", status, text)
	}
	project := filepath.Join(c.DataDir, config.RegistryName, "projects", access.Project)
	if err := os.RemoveAll(project); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(project, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{{"POST", "/app/blobs/uploads/"}, {"GET", "/app/tags/list"}, {"GET", "/app/manifests/1"}, {"PUT", "/app/manifests/1"}} {
		status, text := request(r[0], "/v2/"+access.Project+r[1])
		if clear(r[0]+" "+r[1], text); status < 400 {
			t.Errorf("%v of a broken registry: %d %s", r, status, text)
		}
	}
}
