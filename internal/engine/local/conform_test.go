package local

import (
	"encoding/json"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
)

func TestThisMachinesEngineConforms(t *testing.T) {
	f := open(t, nil)
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	defer f.reopen() // for the fixture to purge
	enginetest.Conform(t, enginetest.Place{
		Image: digest,
		Open: func(t *testing.T) engine.Engine {
			f.reopen()
			return f.Local
		},
		Write: func(t *testing.T, _ engine.Engine, id, path, content string) {
			t.Helper()
			if status, answer := f.upload(id, "/files/upload?path="+path, map[string]string{"file": content}); status != http.StatusOK {
				t.Fatalf("write %s: %d %s", path, status, answer)
			}
		},
		Read: func(t *testing.T, _ engine.Engine, id, path string) (string, bool) {
			t.Helper()
			answer, err := f.do(id, "cat "+path)
			var out struct {
				ExitCode int
				Result   string
			}
			if err == nil {
				err = json.Unmarshal([]byte(answer), &out)
			}
			if err != nil {
				t.Fatalf("read %s: %v", path, err)
			}
			return out.Result, out.ExitCode == 0
		},
		End: func(t *testing.T, id string) {
			t.Helper()
			r, err := f.readState(id)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(r.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
	})
}
