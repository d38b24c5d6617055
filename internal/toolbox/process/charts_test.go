package process

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
)

// Code may write to the descriptor of charts what is none.
func TestOnlyObjectsAreTakenForChartsAndNoneIsTooLarge(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	cfg := boot.Config{User: me.Uid, WorkDir: t.TempDir(), Env: map[string]string{"PATH": os.Getenv("PATH")}}
	mux := http.NewServeMux()
	New(launch.New(cfg, nil, identity.New("/etc"), proc.New(false))).Register(mux)
	for code, want := range map[string]string{
		`os.write(4, b'5\nnull\n[1]\n{"type":"line"}\nnonsense\n{"type":\n\n{"title":"last"}\n{"cut":')`: `[{"type":"line"},{"title":"last"}]`,
		`os.write(4, b'{"type":"line"}\n'); [os.write(4, b"x" * 65536) for i in range(1000)]`:            `[{"type":"line"}]`,
		`os.close(4)`: `[]`,
	} {
		body, err := json.Marshal(map[string]string{"language": "python", "code": "import os\nprint('ran')\n" + code})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/process/code-run", strings.NewReader(string(body))))
		if said := strings.TrimSpace(w.Body.String()); said != `{"exitCode":0,"result":"ran\n","artifacts":{"charts":`+want+`}}` {
			t.Errorf("%s: %d %.300s", code, w.Code, said)
		}
	}
}
