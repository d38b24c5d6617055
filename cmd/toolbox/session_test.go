package main

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

func descriptors(t *testing.T, s *sandbox) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s.execute("ls /proc/1/fd | wc -l").Result))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestASessionOfManyCommandsHoldsNeitherDescriptorsNorAllOfThem(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	if a := s.call("POST", "/process/session", map[string]string{"sessionId": "s"}); a.status != 201 {
		t.Fatalf("%+v", a)
	}
	exec := func(command string) answer {
		return s.call("POST", "/process/session/s/exec", map[string]any{"command": command})
	}
	first := exec("echo first")
	before := descriptors(t, s)
	const many = 1100
	last := first
	for i := range many {
		if last = exec("echo " + strconv.Itoa(i)); last.status != 200 {
			t.Fatalf("%d: %+v", i, last)
		}
	}
	if after := descriptors(t, s); after > before+5 {
		t.Errorf("%d descriptors after %d commands, %d before", after, many, before)
	}
	if a := s.call("GET", "/process/session/s", nil); len(a.Commands) < 1000 || len(a.Commands) > 1001 {
		t.Errorf("%d commands are remembered", len(a.Commands))
	}
	if logs, _ := os.ReadDir(s.run + "/.daytona-toolbox/logs"); len(logs) > 1001 {
		t.Errorf("%d logs are kept", len(logs))
	}
	if a := s.call("GET", "/process/session/s/command/"+first.CmdID+"/logs", nil); a.status != 404 || a.Code != "PROCESS_NOT_FOUND" {
		t.Errorf("the first: %+v", a)
	}
	if a := s.call("GET", "/process/session/s/command/"+last.CmdID+"/logs", nil); a.Output != strconv.Itoa(many-1)+"\n" {
		t.Errorf("the last: %+v", a)
	}
}

func TestASessionTakesSoManyCommandsAtOnce(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	exec := func(command string) answer {
		return s.call("POST", "/process/session/s/exec", map[string]any{"command": command, "runAsync": true})
	}
	exec("sleep 1000")
	before := descriptors(t, s)
	for range 300 {
		if a := exec("true"); a.status == 409 && strings.Contains(a.Message, "have not ended") {
			if n := descriptors(t, s); n < before+255 {
				t.Errorf("refused with %d descriptors, %d before", n, before)
			}
			if a := s.call("DELETE", "/process/session/s", nil); a.status != 204 {
				t.Errorf("%+v", a)
			}
			if n := descriptors(t, s); n > before {
				t.Errorf("%d descriptors are left, %d before", n, before)
			}
			return
		} else if a.status != 202 {
			t.Fatalf("%+v", a)
		}
	}
	t.Error("300 commands wait")
}

func TestABackgroundProcessAddsToTheLogOfACommandThatHasEnded(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	a := s.call("POST", "/process/session/s/exec", map[string]any{"command": "(sleep 0.5; echo later) & echo now"})
	if a.Output != "now\n" {
		t.Fatalf("%+v", a)
	}
	s.waitFor("the later output", func() bool {
		return s.call("GET", "/process/session/s/command/"+a.CmdID+"/logs", nil).Output == "now\nlater\n"
	})
}

func TestLogsComeAsTextToWhoAsksForIt(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"echo", "entry"}})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	id := s.call("POST", "/process/session/s/exec", map[string]any{"command": "echo out; sleep 0.1; echo err >&2"}).CmdID
	for _, path := range []string{"/process/session/s/command/" + id + "/logs", "/process/session/entrypoint/logs"} {
		for _, c := range []struct{ accept, sdk, kind, out, err string }{
			{"text/plain", "", "text/plain; charset=utf-8", "out\n", "err\n"},
			{"text/plain;q=0.9", "", "text/plain; charset=utf-8", "out\n", "err\n"},
			{"text/plain", "0.161.0", "text/plain; charset=utf-8", "\x01\x01\x01out\n", "\x02\x02\x02err\n"},
			{"application/json", "0.226.1", "application/json; charset=utf-8", "", ""},
			{"text/plain, application/json", "", "application/json; charset=utf-8", "", ""},
			{"*/*", "", "application/json; charset=utf-8", "", ""},
		} {
			r, err := http.NewRequest("GET", "http://agent"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", c.accept)
			if c.sdk != "" {
				r.Header.Set("X-Daytona-SDK-Version", c.sdk)
			}
			want := c.out + c.err
			if strings.Contains(path, "entrypoint") {
				want = strings.ReplaceAll(c.out, "out", "entry")
			}
			var body string
			var kind string
			s.waitFor("the log", func() bool {
				res, err := s.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				body, kind = string(b), res.Header.Get("Content-Type")
				return err == nil && len(b) > 0
			})
			if kind != c.kind || want != "" && body != want {
				t.Errorf("%s, Accept %q, SDK %q: %q %q", path, c.accept, c.sdk, kind, body)
			}
		}
	}
}

// session makes a session and returns what runs commands in it.
func (s *sandbox) session(id string) (exec func(command string, more ...string) answer) {
	s.t.Helper()
	if a := s.call("POST", "/process/session", map[string]string{"sessionId": id}); a.status != 201 {
		s.t.Fatalf("create session %s: %+v", id, a)
	}
	return func(command string, more ...string) answer {
		body := map[string]any{"command": command}
		for _, name := range more {
			body[name] = true
		}
		return s.call("POST", "/process/session/"+id+"/exec", body)
	}
}

func (s *sandbox) input(id, command, data string) answer {
	return s.call("POST", "/process/session/"+id+"/command/"+command+"/input", map[string]string{"data": data})
}

func TestTheEntrypointsSessionTakesNoCommands(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"sleep", "1000"}})
	for _, r := range []struct {
		method, path string
		body         any
	}{
		{"POST", "", map[string]string{"sessionId": "entrypoint"}},
		{"POST", "/entrypoint/exec", map[string]string{"command": "true"}},
		{"POST", "/entrypoint/command/entrypoint/input", map[string]string{"data": "x"}},
		{"DELETE", "/entrypoint", nil},
	} {
		if a := s.call(r.method, "/process/session"+r.path, r.body); a.status != 400 || a.Code != "BAD_REQUEST" {
			t.Errorf("%s %s: %+v", r.method, r.path, a)
		}
	}
	if a := s.call("GET", "/process/session/entrypoint", nil); a.status != 200 || len(a.Commands) != 1 {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsUnknownIsAProcessThatIsNotFound(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.session("s")
	for _, path := range []string{"/none", "/none/command/x", "/s/command/x", "/s/command/x/logs"} {
		if a := s.call("GET", "/process/session"+path, nil); a.status != 404 || a.Code != "PROCESS_NOT_FOUND" {
			t.Errorf("%s: %+v", path, a)
		}
	}
}

func TestASynchronousCommandHasAnEmptyInput(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	exec := s.session("s")
	if a := exec("cat; read x; echo $?; echo said | cat"); a.status != 200 || a.Output != "1\nsaid\n" {
		t.Errorf("%+v", a)
	}
	done := make(chan answer)
	go func() { done <- exec("sleep 1") }()
	s.waitFor("the command", func() bool {
		a := s.call("GET", "/process/session/s", nil)
		return len(a.Commands) == 2
	})
	id := s.call("GET", "/process/session/s", nil).Commands[1].ID
	if a := s.input("s", id, "x"); a.status != 400 || !strings.Contains(a.Message, "runAsync") {
		t.Errorf("%+v", a)
	}
	if a := <-done; a.status != 200 {
		t.Errorf("%+v", a)
	}
	if a := s.input("s", id, "x"); a.status != 410 || a.Code != "COMMAND_ALREADY_COMPLETED" {
		t.Errorf("%+v", a)
	}
}

func TestInputIsNotedUnlessItIsSuppressed(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	exec := s.session("s")
	for _, c := range []struct {
		option, data, want string
	}{
		{"async", "typed", "typed\ngot typed\n"},
		{"async", "typed\n", "typed\ngot typed\n"},
		{"suppressInputEcho", "secret", "got secret\n"},
	} {
		a := exec("read line; echo got $line", "runAsync", c.option)
		if a.status != 202 || a.CmdID == "" {
			t.Fatalf("%+v", a)
		}
		if a := s.input("s", a.CmdID, c.data); a.status != 204 {
			t.Errorf("%+v", a)
		}
		s.waitFor("the command", func() bool {
			return strings.Contains(s.call("GET", "/process/session/s/command/"+a.CmdID+"/logs", nil).Output, "got")
		})
		logs := s.call("GET", "/process/session/s/command/"+a.CmdID+"/logs", nil)
		if logs.Output != c.want || logs.Stdout != c.want || logs.Stderr != "" {
			t.Errorf("%s %q: %+v", c.option, c.data, logs)
		}
	}
}

func TestADeadShellIsToldForCommandsAndInput(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	exec := s.session("s")
	a := exec("exit 7")
	if a.status != 200 || a.ExitCode != 7 {
		t.Errorf("%+v", a)
	}
	if a := exec("true"); a.status != 410 || a.Code != "SESSION_ENDED" {
		t.Errorf("%+v", a)
	}
	if a := s.input("s", a.CmdID, "x"); a.status != 410 || a.Code != "SESSION_ENDED" {
		t.Errorf("%+v", a)
	}
}

func TestDeletingASessionFailsTheCommandThatIsAwaited(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	exec := s.session("s")
	done := make(chan answer)
	go func() { done <- exec("sleep 1000") }()
	s.waitFor("the command", func() bool { return len(s.call("GET", "/process/session/s", nil).Commands) == 1 })
	if a := s.call("DELETE", "/process/session/s", nil); a.status != 204 {
		t.Errorf("%+v", a)
	}
	if a := <-done; a.status != 410 || a.Code != "SESSION_ENDED" {
		t.Errorf("%+v", a)
	}
	s.session("s") // the name is free again
}

func TestWhatADeletedSessionRanMayTakeItsTimeToEnd(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	exec := s.session("s")
	exec(`sh -c 'trap "sleep 2; echo >`+dir+`/ended; exit" TERM; echo >`+dir+`/ready; while :; do sleep 0.05; done'`, "runAsync")
	s.waitFor("the trap", func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
	if a := s.call("DELETE", "/process/session/s", nil); a.status != 204 {
		t.Errorf("%+v", a)
	}
	if _, err := os.Stat(dir + "/ended"); err != nil {
		t.Error(err)
	}

	exec = s.session("stubborn")
	exec(`trap "" TERM HUP; echo >`+dir+`/stubborn; while :; do sleep 0.05; done`, "runAsync")
	s.waitFor("the trap", func() bool { _, err := os.Stat(dir + "/stubborn"); return err == nil })
	began := time.Now()
	if a := s.call("DELETE", "/process/session/stubborn", nil); a.status != 204 {
		t.Errorf("%+v", a)
	}
	if took := time.Since(began); took < 4*time.Second || took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestSessionsAreListedWhileOthersStart(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { s.call("POST", "/process/session", map[string]string{"sessionId": strconv.Itoa(i)}) })
		wg.Go(func() {
			if a := s.call("GET", "/process/session", nil); a.status != 200 {
				t.Errorf("%+v", a)
			}
		})
	}
	wg.Wait()
}

func TestNamesOfVariablesAreThoseOfShells(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	for _, name := range []string{"", "1A", "A-B", "A.B", "Ä", "A=B", "A\x00"} {
		if a := s.call("POST", "/process/execute", map[string]any{"command": "true", "envs": map[string]string{name: "x"}}); a.status != 400 || a.Code != "BAD_REQUEST" {
			t.Errorf("execute with %q: %+v", name, a)
		}
		if a := s.call("POST", "/env", map[string]any{"set": map[string]string{name: "x"}}); a.status != 400 || a.Code != "BAD_REQUEST" {
			t.Errorf("env with %q: %+v", name, a)
		}
	}
	if a := s.call("POST", "/process/execute", map[string]any{"command": "echo $_a1", "envs": map[string]string{"_a1": "x"}}); a.Result != "x\n" {
		t.Errorf("%+v", a)
	}
}

func TestATimeoutIsToldInTimeWhateverRuns(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	for _, command := range []string{
		"sleep 1000", "trap '' TERM HUP INT; while :; do sleep 0.1; done", "setsid sleep 1000 & wait", "yes >/dev/null", "kill -STOP $$",
		"for i in 1 2 3 4 5 6 7 8; do (while :; do (sleep 0.01); done) & done; wait",
	} {
		began := time.Now()
		a := s.call("POST", "/process/execute", map[string]any{"command": command, "timeout": 1})
		if a.status != 408 || a.Code != "PROCESS_EXECUTION_TIMEOUT" || !strings.Contains(a.Message, "timeout") {
			t.Errorf("%s: %+v", command, a)
		}
		if took := time.Since(began); took < time.Second || took > 5*time.Second {
			t.Errorf("%s: it took %s", command, took)
		}
	}
	if a := s.execute("pgrep -x sleep | wc -l"); a.Result != "0\n" {
		t.Errorf("%s processes are left", a.Result)
	}
	for _, command := range []string{"", " \n\t"} {
		if a := s.call("POST", "/process/execute", map[string]any{"command": command}); a.status != 400 {
			t.Errorf("%q: %+v", command, a)
		}
	}
}
