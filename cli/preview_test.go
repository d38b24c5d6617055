//go:build linux

package cli

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
)

func TestPreviewURLs(t *testing.T) {
	serve(t)
	must(t, "snapshot", "create", "default", "--image", "python:3.11-slim")
	id := strings.TrimSpace(must(t, "create", "--name", "web"))
	for _, life := range []string{"90m", "3600", "1h"} {
		out := must(t, "preview-url", "web", "--port", "3000", "--expires", life)
		if !regexp.MustCompile(`^http://3000-[a-z2-7]{26}\.localhost:[0-9]+\n$`).MatchString(out) {
			t.Errorf("for %s: %q", life, out)
		}
	}
	if out := must(t, "preview-url", "web", "-p", "3000", "--lasting"); !strings.HasPrefix(out, "http://3000-"+id+".localhost:") {
		t.Errorf("lasting: %q", out)
	}
	var link api.PortPreviewURL
	if err := json.Unmarshal([]byte(must(t, "preview-url", id, "-p", "3000", "--lasting", "-f", "json")), &link); err != nil || link.Token == "" || link.SandboxID != id {
		t.Errorf("%+v, %v", link, err)
	}
	for _, wrong := range [][]string{{}, {"web"}, {"web", "-p", "0"}, {"web", "-p", "65536"}, {"web", "-p", "1", "-e", "soon"}, {"web", "-p", "1", "-e", "0"}, {"web", "-p", "1", "-e", "1h", "--lasting"}} {
		if r := run(t, append([]string{"preview-url"}, wrong...)...); r.code != exitUsage {
			t.Errorf("%v: %+v", wrong, r)
		}
	}
	if r := run(t, "preview-url", "none", "-p", "1"); r.code != exitNotFound {
		t.Errorf("of none: %+v", r)
	}
}
