package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/engine/local"
)

// probedEngine tells what a test wants to be found.
type probedEngine struct {
	*memoryEngine
	found  []local.Requirement
	on     string // its surroundings
	probes int
}

func (p *probedEngine) Probe(context.Context) []local.Requirement { p.probes++; return p.found }
func (p *probedEngine) Surroundings() (string, error)             { return p.on, nil }

func TestASandboxIsTriedAtTheFirstStartAndWhenTheMachineIsAnother(t *testing.T) {
	p := &probedEngine{memoryEngine: newMemoryEngine(t, http.HandlerFunc(echo))}
	m := testHost(p.memoryEngine)
	m.openEngine = func(context.Context, local.Options) (hostEngine, error) { p.open(); return p, nil }
	c := testConfig(t)
	works := local.Requirement{Name: "sandbox start", OK: true, Detail: "quickly"}
	broken := local.Requirement{Name: "sandbox start", Detail: "RUNC hangs: install another"}
	later := local.Requirement{Name: "build step", Detail: "hangs, too"}
	full := local.Requirement{Name: "sandbox disk", Optional: true, Urgent: true, Detail: "the disk is full"}
	for i, start := range []struct {
		on     string
		found  []local.Requirement
		probes int    // so far
		ready  bool   // the server
		logs   string // or nothing of the machine
	}{
		{"kernel 1", []local.Requirement{broken, later}, 1, false, "SANDBOXES DO NOT WORK ON THIS MACHINE"},
		{"kernel 1", []local.Requirement{works}, 2, true, "they work"}, // a failure is tried again
		{"kernel 1", []local.Requirement{broken}, 2, true, ""},         // what worked is not
		{"kernel 2", []local.Requirement{full}, 3, true, "the next start tries again"},
		{"kernel 2", []local.Requirement{works}, 4, true, "they work"},
		{"kernel 2", []local.Requirement{broken}, 4, true, ""},
		{"kernel 1", []local.Requirement{broken}, 5, false, "SANDBOXES DO NOT WORK"},
	} {
		p.on, p.found = start.on, start.found
		var log bytes.Buffer
		s, err := openServer(t.Context(), c, m, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if p.probes != start.probes {
			t.Errorf("start %d: %d probes, want %d", i, p.probes, start.probes)
		}
		for _, says := range []string{start.logs, map[bool]string{false: broken.Detail}[start.ready]} {
			if !strings.Contains(log.String(), says) {
				t.Errorf("start %d: the log is without %q:\n%s", i, says, &log)
			}
		}
		if strings.Contains(strings.ToLower(log.String()), "this machine") != (start.logs != "") || strings.Contains(log.String(), later.Detail) {
			t.Errorf("start %d logs too much:\n%s", i, &log)
		}
		err = s.readiness()["machine"](t.Context())
		if (err == nil) != start.ready || err != nil && err.Error() != "sandbox start: "+broken.Detail {
			t.Errorf("start %d: ready: %v", i, err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadinessNamesTheMachineThatRunsNoSandboxes(t *testing.T) {
	p := &probedEngine{memoryEngine: newMemoryEngine(t, http.HandlerFunc(echo)), found: []local.Requirement{{Name: "sandbox start", Detail: "no"}}}
	m := testHost(p.memoryEngine)
	m.openEngine = func(context.Context, local.Options) (hostEngine, error) { p.open(); return p, nil }
	s := start(t, testConfig(t), m)
	if status, text := s.raw("GET", s.origin()+"/api/health/ready", "", ""); status != http.StatusServiceUnavailable || !strings.Contains(text, "not ready: machine") {
		t.Errorf("%d %s", status, text)
	}
	s.call("GET", "/api/sandbox", "", 200) // what runs can be seen, and ended
}

func TestTheCheckStartsASandboxForRootOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	data := filepath.Join(t.TempDir(), "data")
	out, err := command(t, "check", "--data-dir", data).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nok        sandbox start ") || !strings.Contains(string(out), "\nok        build step ") {
		t.Errorf("root: %v\n%s", err, out)
	}
	if gone, err := config.Missing(data); !gone {
		t.Errorf("the check has left the data directory: %v", err)
	}

	self, err := os.Open("/proc/self/exe") // which others may not reach by its path
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	c := command(t, "check", "--data-dir", data)
	c.Path, c.ExtraFiles, c.Dir = "/proc/self/fd/3", []*os.File{self}, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err = c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "MISSING   root ") || !strings.Contains(string(out), "start it with sudo") {
		t.Errorf("somebody else: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "sandbox start") {
		t.Errorf("a sandbox was tried without root:\n%s", out)
	}
}
