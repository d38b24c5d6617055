package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/test/serve"
)

// ask sends a request as it is and returns the status and the envelope.
func ask(t *testing.T, s *serve.Server, key, method, path string, body io.Reader) (int, api.Error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Client.APIURL()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e api.Error
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(b, &e); err != nil {
			t.Errorf("%s %s: not an envelope: %s", method, path, b)
		}
	}
	return resp.StatusCode, e
}

func key(t *testing.T, s *serve.Server) string {
	t.Helper()
	b, err := os.ReadFile(s.Data + "/credentials.json")
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ APIKey string }
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c.APIKey
}

func TestBadInputIsAnsweredClearly(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	k := key(t, s)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:3.21", "cpu": 0}`, 400, "cpu"},
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:3.21", "cpu": -1}`, 400, "cpu"},
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:3.21", "cpu": 1.5}`, 400, "cpu"},
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:3.21", "memory": 1000000000}`, 400, "quota"},
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:3.21", "disk": "many"}`, 400, "disk"},
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:3.21", "regionId": "mars"}`, 404, "mars"},
		{"POST", "/snapshots", `{"name": "a/../b c", "imageName": "alpine:3.21"}`, 400, "name"},
		{"POST", "/snapshots", `{"name": "", "imageName": "alpine:3.21"}`, 400, "name"},
		{"POST", "/snapshots", `{"name": "a", "imageName": "alpine:latest"}`, 400, "latest"},
		{"POST", "/snapshots", `{"name": "a\u0000b", "imageName": "alpine:3.21"}`, 400, "name"},
		{"POST", "/snapshots", `{"name": `, 400, ""},
		{"POST", "/snapshots", `[]`, 400, ""},
		{"POST", "/snapshots", ``, 400, ""},
		{"GET", "/snapshots?page=0", "", 400, "page"},
		{"GET", "/snapshots?limit=0", "", 400, "limit"},
		{"GET", "/snapshots?limit=1000000", "", 400, "limit"},
		{"GET", "/snapshots/none", "", 404, "none"},
		{"POST", "/sandbox", `{"snapshot": "none"}`, 404, "none"},
		{"POST", "/sandbox", `{"autoStopInterval": -5}`, 400, ""},
		{"POST", "/sandbox", `{"labels": {"a": 1}}`, 400, "labels"},
		{"POST", "/sandbox", `{"networkAllowList": "everything"}`, 400, ""},
		{"GET", "/sandbox/none", "", 404, "none"},
		{"POST", "/sandbox/none/start", "", 404, "none"},
		{"GET", "/sandbox?cursor=bogus", "", 400, "cursor"},
		{"PATCH", "/snapshots", "", 404, ""},
		{"GET", "/no/such/route", "", 404, ""},
	} {
		status, e := ask(t, s, k, c.method, c.path, strings.NewReader(c.body))
		if status != c.status && !(c.status == 404 && c.method == "PATCH" && status == 405) {
			t.Errorf("%s %s %s: %d (%s), want %d", c.method, c.path, c.body, status, e.Message, c.status)
		}
		if !strings.Contains(strings.ToLower(e.Message), c.says) || e.Message == "" || e.StatusCode != status || e.Path == "" || e.Timestamp == "" {
			t.Errorf("%s %s %s: %+v lacks %q", c.method, c.path, c.body, e, c.says)
		}
	}
	if status, _ := ask(t, s, "wrong", "GET", "/snapshots", nil); status != 401 {
		t.Errorf("a wrong key: %d", status)
	}
	if status, _ := ask(t, s, k, "POST", "/api-keys", strings.NewReader(`{"name": "later", "permissions": [], "fromTheFuture": {"x": 1}}`)); status >= 300 {
		t.Errorf("an unknown field: %d", status)
	}
}

func TestAHugeBodyIsRefusedAndCostsNothing(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	k := key(t, s)
	huge := io.MultiReader(strings.NewReader(`{"name": "`), io.LimitReader(zeros{}, 100<<20), strings.NewReader(`"}`))
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.Client.APIURL()+"/snapshots", huge)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+k)
	// The server may answer and hang up before all is sent.
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		if resp.StatusCode != 400 && resp.StatusCode != 413 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(s.Process.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if kib, err := strconv.Atoi(strings.Fields(rest)[0]); err != nil || kib > 150<<10 {
				t.Errorf("the server took %s", strings.TrimSpace(rest))
			}
		}
	}
	if status, _ := ask(t, s, k, "GET", "/snapshots", nil); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// zeros are endless digits.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
