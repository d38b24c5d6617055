package desktop

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestADesktopStartsAnswersForItsProcessesAndEndsWithAll(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 71)
	if got := s.do("GET", "/computeruse/status", nil)["status"]; got != "inactive" {
		t.Errorf("before the start: %v", got)
	}
	if said := s.refused("GET", "/computeruse/screenshot", nil, 400); !strings.Contains(said, "start it first") {
		t.Error(said)
	}
	began := time.Now()
	started := s.do("POST", "/computeruse/start", nil)
	t.Logf("started in %v", time.Since(began))
	if again := s.do("POST", "/computeruse/start", nil); fmt.Sprint(again) != fmt.Sprint(started) {
		t.Errorf("started again: %v, before %v", again, started)
	}
	var pids []int
	for name, priority := range map[string]float64{"xvfb": 100, "xfce4": 200, "x11vnc": 300, "novnc": 400} {
		p, _ := started["status"].(map[string]any)[name].(map[string]any)
		if p["running"] != true || p["priority"] != priority || p["autoRestart"] != true {
			t.Errorf("%s: %v", name, p)
		}
		pid, _ := p["pid"].(float64)
		pids = append(pids, int(pid))
		if info, err := os.Stat(fmt.Sprintf("/proc/%d", int(pid))); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != userID() {
			t.Errorf("%s is not the user's: %v", name, err)
		}
		if got := s.do("GET", "/computeruse/process/"+name+"/status", nil); got["running"] != true || got["processName"] != name {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, route := range []string{"/computeruse/status", "/computeruse/process-status"} {
		if got := s.do("GET", route, nil)["status"]; got != "active" {
			t.Errorf("%s: %v", route, got)
		}
	}
	if logs := s.do("GET", "/computeruse/process/novnc/logs", nil)["logs"].(string) + s.do("GET", "/computeruse/process/novnc/errors", nil)["errors"].(string); !strings.Contains(logs, "16151") {
		t.Errorf("noVNC's logs do not have its port: %q", logs)
	}
	stopped := s.do("POST", "/computeruse/stop", nil)
	if p := stopped["status"].(map[string]any)["xvfb"].(map[string]any); p["running"] != false || p["pid"] != nil {
		t.Errorf("stopped: %v", p)
	}
	for _, pid := range pids { // they have ended, and are collected in a moment
		for end := time.Now().Add(5 * time.Second); unix.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("process %d is still there", pid)
				break
			}
		}
	}
	if _, err := net.Dial("tcp", "127.0.0.1:16151"); err == nil {
		t.Error("noVNC still listens")
	}
}
