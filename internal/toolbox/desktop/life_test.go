package desktop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWithoutADesktopInTheImageEveryRouteSaysSo(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 76)
	s.service.find = func(program string) string {
		if program == "openbox" {
			return "/usr/bin/openbox"
		}
		return ""
	}
	for _, route := range []string{
		"POST /computeruse/start", "POST /computeruse/stop", "GET /computeruse/status", "GET /computeruse/process-status", "GET /computeruse/screenshot",
		"POST /computeruse/mouse/click", "POST /computeruse/keyboard/type", "GET /computeruse/display/info", "GET /computeruse/process/xvfb/status",
	} {
		method, path, _ := strings.Cut(route, " ")
		said := s.refused(method, path, nil, 503)
		if !strings.HasPrefix(said, "[Computer-use functionality is not available ") || !strings.HasSuffix(said, "missing: xvfb x11vnc novnc]") || !strings.Contains(said, "desktop and full variants") {
			t.Errorf("%s: %s", route, said)
		}
	}
}

func TestVariablesThatMakeNoDesktopAreRefused(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"DISPLAY":        {"host:0", "0", ":99999", ":0.1", ":0;reboot"},
		"VNC_RESOLUTION": {"1024", "1024x768x8", "0x0", "99999x10", "1024x768 -ac", "8193x100"},
		"VNC_PORT":       {"80", "x", "70000", "-1"},
		"NO_VNC_PORT":    {"0x1770", "1023"},
	} {
		for _, value := range values {
			if said := newSandbox(t, 77, name, value).refused("POST", "/computeruse/start", nil, 400); !strings.Contains(said, name) {
				t.Errorf("%s=%s: %s", name, value, said)
			}
		}
	}
}

func TestWhatEndsIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := started(t, 78)
	pid := func(name string) int {
		p, _ := s.do("POST", "/computeruse/start", nil)["status"].(map[string]any)[name].(map[string]any)["pid"].(float64)
		return int(p)
	}
	before := pid("novnc")
	if got := s.do("POST", "/computeruse/process/novnc/restart", nil); got["processName"] != "novnc" {
		t.Error(got)
	}
	if after := pid("novnc"); after == 0 || after == before {
		t.Errorf("novnc was process %d and is %d", before, after)
	}
	// The worker is started at the next request, and knows where things are.
	s.do("POST", "/computeruse/mouse/move", body{"x": 17, "y": 18})
	first := s.service.workers.current.process.Pid
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("the worker has ended", func() bool { return unix.Kill(first, 0) != nil })
	if at := s.do("GET", "/computeruse/mouse/position", nil); at["x"] != 17.0 || at["y"] != 18.0 {
		t.Errorf("after the worker's end: %v", at)
	}
	// With the display its programs end, and all come again.
	display := pid("xvfb")
	if err := unix.Kill(display, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("the display's end is seen", func() bool { return s.do("GET", "/computeruse/status", nil)["status"] != "active" })
	if w := s.send("GET", "/computeruse/screenshot", nil); w.Code != 503 {
		t.Errorf("without a display: %d %s", w.Code, w.Body)
	}
	s.await("the desktop is back", func() bool { return s.do("GET", "/computeruse/status", nil)["status"] == "active" })
	s.do("POST", "/computeruse/start", nil)
	s.look("")
	if said := s.refused("GET", "/computeruse/process/no%2Fne/logs", nil, 404); !strings.Contains(said, "xvfb, xfce4, atspi, x11vnc, novnc") {
		t.Error(said)
	}
}

func TestAWorkerThatNobodyNeedsEnds(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 79)
	s.service.workers.idle = 50 * time.Millisecond
	s.do("POST", "/computeruse/start", nil)
	s.look("")
	s.service.workers.mu.Lock()
	w := s.service.workers.current
	s.service.workers.mu.Unlock()
	if w != nil {
		select {
		case <-w.process.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the worker stays")
		}
	}
	s.look("") // another one
}

func TestADesktopComesUpAfterOneThatWasKilled(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 80)
	// What a display leaves when it is killed: a lock that names a process that is another now.
	lock := "/tmp/.X80-lock"
	if err := os.WriteFile(lock, fmt.Appendf(nil, "%10d\n", os.Getpid()), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mknod("/tmp/.X11-unix/X80", syscall.S_IFSOCK|0o777, 0); err != nil {
		t.Fatal(err)
	}
	s.do("POST", "/computeruse/start", nil)
	s.do("POST", "/computeruse/stop", nil)
	if said := s.refused("POST", "/computeruse/process/xvfb/restart", nil, 400); !strings.Contains(said, "start it first") {
		t.Error(said)
	}
	s.do("POST", "/computeruse/stop", nil) // once more is fine
}

func TestLogsThatAreNoFilesHangNobody(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 81)
	dir := filepath.Join(s.home, ".daytona", "computeruse")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "xvfb.log"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "novnc.err")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chown(d, userID(), -1); err != nil {
			t.Fatal(err)
		}
	}
	s.refused("GET", "/computeruse/process/xvfb/logs", nil, 400)
	if w := s.send("GET", "/computeruse/process/novnc/errors", nil); strings.Contains(w.Body.String(), "root:") || w.Code < 400 {
		t.Errorf("a link's target is told: %d %s", w.Code, w.Body)
	}
	if got := s.do("GET", "/computeruse/process/x11vnc/logs", nil); got["logs"] != "" {
		t.Error(got)
	}
}

func TestAChangedDisplayCountsAtTheNextStart(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 82)
	s.do("POST", "/computeruse/start", nil)
	s.do("POST", "/computeruse/mouse/move", body{"x": 5, "y": 6})
	if err := s.service.launcher.Env.Update(map[string]string{"DISPLAY": ":83", "VNC_RESOLUTION": "300x200"}, nil, ""); err != nil {
		t.Fatal(err)
	}
	s.service.workers.end() // the next one belongs to the desktop that runs
	if at := s.do("GET", "/computeruse/mouse/position", nil); at["x"] != 5.0 || at["y"] != 6.0 {
		t.Errorf("the pointer is at %v", at)
	}
	s.do("POST", "/computeruse/stop", nil)
	s.do("POST", "/computeruse/start", nil)
	if img, _, _ := s.look(""); img.Bounds().Dx() != 300 {
		t.Errorf("the screen has %v", img.Bounds())
	}
}
