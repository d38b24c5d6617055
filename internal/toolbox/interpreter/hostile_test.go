package interpreter

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
)

// times out within so many seconds and returns the reason.
func (s *sandbox) timesOut(code string, within time.Duration, want websocket.StatusCode, header ...string) ran {
	s.t.Helper()
	begun := time.Now()
	r := s.read(s.dial(body{"code": code, "timeout": 1}, header...))
	if r.code != want || len(r.control) != 0 || !strings.HasPrefix(r.reason, "timed out after 1s") {
		s.t.Errorf("%s: closed with %d %q, control %q", code, r.code, r.reason, r.control)
	}
	if took := time.Since(begun); took < time.Second || took > within {
		s.t.Errorf("%s: took %s", code, took)
	}
	return r
}

func TestATimeoutInterruptsAndTheStateStays(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("x = 1")
	const soon, later = 1900 * time.Millisecond, 2900 * time.Millisecond
	for _, c := range []struct {
		code   string
		within time.Duration
	}{
		{"import time\nx += 1\ntime.sleep(600)", soon},
		{"x += 1\nwhile True: pass", soon},
		{"x += 1\nimport subprocess; subprocess.run(['sleep', '600'])", soon},
		// It ignores the interrupt while it waits for a program, which heeds it.
		{"x += 1\nimport os; os.system('sleep 600')", later},
		{"import time\nx += 1\ntry: time.sleep(600)\nexcept KeyboardInterrupt: print('caught')", soon},
	} {
		r := s.timesOut(c.code, c.within, 4008)
		if strings.Contains(c.code, "caught") != (r.stdout == "caught\n") {
			t.Errorf("%s: %q", c.code, r.stdout)
		}
		if r.failure.Type != "" && (r.failure.Name != "KeyboardInterrupt" || !strings.Contains(r.failure.Traceback, "<stdin>")) {
			t.Errorf("%s: %+v", c.code, r.failure)
		}
	}
	s.timesOut("import time\nx += 1\ntime.sleep(600)", soon, 4001, "X-Daytona-Source", "sdk-go")
	s.timesOut("import time\nx += 1\ntime.sleep(600)", soon, 4008, "X-Daytona-Source", "sdk-python")
	s.prints("8\n", "print(x)")
}

func TestCodeThatIgnoresTheInterruptIsKilled(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("x = 1")
	r := s.timesOut("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun')\nwhile True: time.sleep(1)", 5*time.Second, 4008)
	if r.stdout != "begun\n" || !strings.Contains(r.reason, "killed") {
		t.Errorf("%+v", r)
	}
	if r := s.run("print('new'); x"); r.stdout != "new\n" || r.stderr != "" || r.failure.Name != "NameError" {
		t.Errorf("%+v", r)
	}
}

func TestTheEndOfTheProcessIsTold(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	for code, want := range map[string]string{
		"print('x'); import os, sys; sys.stdout.flush(); os._exit(3)":                                                                 "ended with exit code 3",
		"print('x'); import os; os.system('kill -9 %d' % os.getpid())":                                                                "ended with exit code 137 (SIGKILL)",
		"print('x'); import os; os.kill(os.getpid(), 11)":                                                                             "ended with exit code 139 (SIGSEGV)",
		"print('x'); import os; os.closerange(3, 100000)":                                                                             "ended with exit code 1",
		"print('x'); import os\nfor fd in range(600, 2000):\n  try: os.write(fd, b'nonsense\\n')\n  except OSError: pass":             "misused it",
		"print('x'); import os\nfor fd in range(600, 2000):\n  try: os.write(fd, b'x' * 1_000_000)\n  except OSError: pass":           "misused it",
		"print('x'); import os\nfor fd in range(600, 2000):\n  try: os.write(fd, b'{\"type\":\"ready\"}\\n')\n  except OSError: pass": "misused it",
	} {
		s.run("y = 1")
		r := s.run(code)
		if closed := strings.Contains(r.stderr, "has closed the interpreter's connection"); closed != strings.Contains(code, "closerange") {
			t.Errorf("%s: %q", code, r.stderr)
		}
		if !strings.Contains(r.stdout, "x\n") || r.failure.Name != "InterpreterEnded" || !strings.Contains(r.failure.Value, want) {
			t.Errorf("%s: %+v", code, r)
		}
		if r := s.run("y"); r.failure.Name != "NameError" || r.stderr != "" {
			t.Errorf("after %s: %+v", code, r)
		}
	}
	// One that ends when nothing runs is told with the next run.
	s.run("import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.2), os._exit(5))).start()")
	time.Sleep(500 * time.Millisecond)
	if r := s.run("print('on')"); r.stdout != "on\n" || !strings.Contains(r.stderr, "exit code 5") || !strings.Contains(r.stderr, "without its variables") {
		t.Errorf("%+v", r)
	}
}

func TestWhatTheCodeClosesIsOpenedAgain(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("import os; os.closerange(0, 3)")
	s.prints("out\n", "print('out')")
	s.run("import sys; sys.stdout.close(); sys.stderr.close()")
	if r := s.run("import sys; print('out'); print('err', file=sys.stderr)"); r.stdout != "out\n" || r.stderr != "err\n" {
		t.Errorf("%+v", r)
	}
	// Programs that share the pipe may do this.
	s.prints(strings.Repeat("x", 1_000_000), "os.set_blocking(1, False); print('x' * 1_000_000, end='')")
	s.run("quit()")
	if r := s.run("input()"); r.failure.Name != "EOFError" {
		t.Errorf("%+v", r)
	}
}

func TestAForkOfTheProcessEndsWithTheCode(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	r := s.run("import os\nprint('one', end=' ')\npid = os.fork()\nif pid: print('parent', os.WEXITSTATUS(os.waitpid(pid, 0)[1]))\nelse:\n  print('child')\n  raise ValueError('in the child')")
	if r.stdout != "one child\nparent 1\n" || !strings.Contains(r.stderr, "ValueError: in the child") || strings.Contains(r.stderr, "daytona") || r.failure.Type != "" {
		t.Errorf("%+v", r)
	}
	s.prints("[0, 1, 4]\n", "import multiprocessing as m\ndef f(x): return x * x\nwith m.get_context('fork').Pool(2) as p: print(p.map(f, range(3)))")
	// One that lives on holds what its parent had open.
	r = s.run("import os, time\nif os.fork() == 0: time.sleep(600)\nos._exit(4)")
	if !strings.Contains(r.failure.Value, "exit code 4") {
		t.Errorf("%+v", r)
	}
}

func TestAThreadThatGoesOnPrintingDisturbsNothing(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("import threading, sys\ndef f():\n  while True: print('tick'); print('tock', file=sys.stderr)\nthreading.Thread(target=f, daemon=True).start()")
	for i := range 5 {
		if r := s.run(fmt.Sprintf("print('run', %d)", i)); strings.Count(r.stdout, "run "+strconv.Itoa(i)) != 1 {
			t.Errorf("run %d: %.200q", i, r.stdout)
		}
	}
	s.timesOut("import time; time.sleep(600)", 3*time.Second, 4008)
}

func TestOutputOfAnySizeIsNotKept(t *testing.T) {
	s := newSandbox(t)
	const most = 64 << 20
	conn := s.dial(body{"code": fmt.Sprintf("for i in range(%d): print('x' * 4095)", most/4096)})
	defer conn.CloseNow()
	var peak, size uint64
	for n := 0; ; n++ {
		_, b, err := conn.Read(t.Context())
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size += uint64(len(b))
		if n%1000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}
	if size < most || peak > most/2 {
		t.Errorf("%d bytes, and %d bytes of memory", size, peak)
	}
}

func TestAClientThatDoesNotReadHoldsTheContextNoLongerThanTheTimeout(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	conn := s.dial(body{"code": "x = 1\nwhile True: print('x' * 1000)", "timeout": 1})
	defer conn.CloseNow()
	begun := time.Now()
	s.prints("1\n", "print(x)")
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("the next one waited %s", took)
	}
}

func TestAClientThatLeavesDoesNotEndTheRun(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("import time")
	conn := s.dial(body{"code": "for i in range(10): print(i); time.sleep(0.05)\nx = 'whole'"})
	if _, _, err := conn.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn.CloseNow()
	s.prints("whole\n", "print(x)")
}

func TestCodeMayBeLarge(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.prints("8000000\n", "s = '"+strings.Repeat("x", 8_000_000)+"'\nprint(len(s))")
	if r := s.send(body{"code": "#" + strings.Repeat("x", 32<<20)}); r.code != websocket.StatusMessageTooBig {
		t.Errorf("%+v", r)
	}
}

func TestRunsOfAContextWaitForEachOtherInOrder(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("import time; seen = []")
	first := s.dial(body{"code": "time.sleep(0.5)"})
	defer first.CloseNow()
	var wg sync.WaitGroup
	for i := range 10 {
		time.Sleep(20 * time.Millisecond)
		conn := s.dial(body{"code": fmt.Sprintf("seen.append(%d)", i), "timeout": 1})
		wg.Go(func() { s.read(conn) })
	}
	wg.Wait()
	s.prints("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n", "print(seen)")
}

func TestTooManyWaitingRunsAreRefused(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	id := s.create("{}").ID
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[websocket.StatusCode]int{}
	for range maxWaiting + 6 {
		conn := s.dial(body{"code": "import time; time.sleep(600)", "contextId": id})
		wg.Go(func() {
			r := s.read(conn)
			mu.Lock()
			codes[r.code]++
			mu.Unlock()
		})
	}
	for i := 0; ; i++ {
		mu.Lock()
		refused := codes[websocket.StatusTryAgainLater]
		mu.Unlock()
		if refused == 5 {
			break
		}
		if i == 1000 {
			t.Fatalf("%v", codes)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.call("DELETE", "/process/interpreter/context/"+id, "", 200)
	wg.Wait()
	if codes[websocket.StatusGoingAway] != maxWaiting+1 || len(codes) != 2 {
		t.Errorf("%v", codes)
	}
}

func TestTwentyContextsRunAtOnce(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	var wg sync.WaitGroup
	ids := make([]string, 20)
	for i := range ids {
		wg.Go(func() {
			ids[i] = s.create("{}").ID
			s.prints("", fmt.Sprintf("x = %d", i), "contextId", ids[i])
		})
	}
	wg.Wait()
	begun := time.Now()
	for i := range ids {
		wg.Go(func() { s.prints(fmt.Sprint(i, "\n"), "import time; time.sleep(1); print(x)", "contextId", ids[i]) })
	}
	wg.Wait()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("they took %s", took)
	}
}

func TestADeletedContextLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	id := s.create("{}").ID
	// The interpreter's own end comes in order when nothing runs.
	s.run("import subprocess, atexit, os\np = subprocess.Popen(['sleep', '600'])\nf = open('written', 'w'); f.write('all')\natexit.register(lambda: open('ended', 'w'))\nopen('pids', 'w').write(f'{os.getpid()} {p.pid}')", "contextId", id)
	pids := strings.Fields(s.file("pids"))
	s.call("DELETE", "/process/interpreter/context/"+id, "", 200)
	if s.file("written") != "all" || s.file("ended") != "" || len(pids) != 2 {
		t.Error("the process did not end in order")
	}
	for _, pid := range pids {
		if runs(pid) {
			t.Errorf("process %s still runs", pid)
		}
	}
	id = s.create("{}").ID
	conn := s.dial(body{"code": "print('on'); import time; time.sleep(600)", "contextId": id})
	if _, _, err := conn.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.call("DELETE", "/process/interpreter/context/"+id, "", 200)
	if r := s.read(conn); r.code != websocket.StatusGoingAway || len(r.control) != 0 {
		t.Errorf("%+v", r)
	}
}

func (s *sandbox) file(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.home, name))
	if err != nil {
		s.t.Error(err)
	}
	return string(b)
}

func runs(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestAPythonThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "PYTHONHOME", "/nowhere")
	if said := s.fails("POST", "/process/interpreter/context", "{}", 500, "INTERNAL_SERVER_ERROR"); !strings.Contains(said, "does not start") || !strings.Contains(said, "encodings") {
		t.Error(said)
	}
	if r := s.send(body{"code": "1"}); r.code != websocket.StatusInternalError || !strings.HasPrefix(r.reason, "Python does not start: ") {
		t.Errorf("%+v", r)
	}
	if got := string(s.call("GET", "/process/interpreter/context", "", 200)); got != `{"contexts":[]}`+"\n" {
		t.Error(got)
	}
}

func TestTheProcessIsTheUsers(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.prints(fmt.Sprintln(launchtest.UserID(), s.home, "[0, 1, 2]"), "import os; print(os.getuid(), os.environ['HOME'], [f for f in range(8) if os.path.exists(f'/proc/self/fd/{f}')])")
}
