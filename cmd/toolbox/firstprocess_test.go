package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// builtAgent is the program, built once.
var builtAgent = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "toolbox-test-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir+"/toolbox", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, &os.PathError{Op: "build", Path: string(out), Err: err}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := builtAgent(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// sandbox is an agent that was started as the engine does it: as first process
// of its own namespaces, with its socket and configuration as descriptors.
type sandbox struct {
	t      *testing.T
	dir    string
	run    string
	socket string
	cmd    *exec.Cmd
	ended  chan struct{}
	client *http.Client
}

func startSandbox(t *testing.T, cfg boot.Config) *sandbox {
	t.Helper()
	return startSandboxOn(t, cfg, t.TempDir())
}

// startSandboxOn uses a directory as /run.
func startSandboxOn(t *testing.T, cfg boot.Config, run string) *sandbox {
	t.Helper()
	return startSandboxAfter(t, cfg, run, ":")
}

// startSandboxAfter runs a shell command in the sandbox's mount namespace first.
func startSandboxAfter(t *testing.T, cfg boot.Config, run, first string) *sandbox {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes a pid namespace and must run as root")
	}
	bin, err := builtAgent()
	if err != nil {
		t.Fatal(err)
	}
	s := &sandbox{t: t, dir: t.TempDir(), run: run, ended: make(chan struct{})}
	for _, dir := range []string{s.dir, s.run, filepath.Dir(s.dir)} { // other users must get to the working directory
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.WorkDir == "" {
		cfg.WorkDir = filepath.Join(s.dir, "work")
	}
	s.socket = filepath.Join(s.dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.socket})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	listener.SetUnlinkOnClose(false)
	socket, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.dir+"/config", text, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := os.Open(s.dir + "/config")
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	const prepare = `mount --make-rprivate / && mount -t proc proc /proc && mount --bind "$0" /run && eval "$2" && exec "$1"`
	s.cmd = exec.Command("/bin/sh", "-c", prepare, run, bin+"/toolbox", first)
	s.cmd.ExtraFiles = []*os.File{socket, config}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
	})
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		},
	}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// answer is of any route.
type answer struct {
	status  int
	Result  string
	Output  string
	Stdout  string
	Stderr  string
	Code    string
	Message string
	Dir     string
	CmdID   string
	// ExitCode is -1 when there is none.
	ExitCode int
	Commands []struct {
		ID       string
		Command  string
		ExitCode *int
	}
}

func (s *sandbox) call(method, path string, body any) answer {
	s.t.Helper()
	a, err := s.try(s.t.Context(), method, path, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *sandbox) try(ctx context.Context, method, path string, body any) (answer, error) {
	a := answer{ExitCode: -1}
	text, err := json.Marshal(body)
	if err != nil {
		return a, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, strings.NewReader(string(text)))
	if err != nil {
		return a, err
	}
	res, err := s.client.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a.status = res.StatusCode
	b, err := io.ReadAll(res.Body)
	if err != nil || len(b) == 0 || b[0] != '{' {
		return a, err
	}
	return a, json.Unmarshal(b, &a)
}

func (s *sandbox) execute(command string) answer {
	s.t.Helper()
	return s.call("POST", "/process/execute", map[string]any{"command": command})
}

func (s *sandbox) waitFor(what string, seen func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !seen(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s does not happen", what)
		}
	}
}

func TestAFirstProcessCannotBeEndedFromInside(t *testing.T) {
	s := startSandbox(t, boot.Config{User: "root"})
	for _, signal := range []string{"KILL", "STOP", "INT", "HUP", "QUIT", "ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "PIPE", "USR1", "USR2", "ALRM", "IO", "XCPU", "XFSZ"} {
		if a := s.execute("kill -" + signal + " 1; echo alive"); !strings.HasSuffix(a.Result, "alive\n") {
			t.Fatalf("after %s: %+v", signal, a)
		}
	}
	if a := s.execute("echo $$; ps -o comm= -p 1 2>/dev/null || cat /proc/1/comm"); !strings.HasSuffix(a.Result, "toolbox\n") {
		t.Errorf("the first process is %q", a.Result)
	}
}

func TestAnotherUserCannotReachTheAgent(t *testing.T) {
	s := startSandbox(t, boot.Config{User: "nobody"})
	a := s.execute("kill -TERM 1; echo $?; ls /run/.daytona-toolbox; ls /run/.daytona-toolbox/logs; id -un; pwd; touch file && echo made")
	for _, want := range []string{"not permitted", "1\n", "nobody\n", "/work\n", "made\n"} {
		if !strings.Contains(a.Result, want) {
			t.Errorf("%q lacks %q", a.Result, want)
		}
	}
	if n := strings.Count(a.Result, "Permission denied"); n != 2 {
		t.Errorf("%d listings were refused: %q", n, a.Result)
	}
}

func TestExitsAreNotLostAmongOrphans(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			a, err := s.try(t.Context(), "POST", "/process/execute", map[string]any{"command": "for i in 1 2 3 4 5; do (sleep 0.0$i &) >/dev/null 2>&1; done; exit " + string(rune('0'+i%10))})
			if err != nil || a.ExitCode != i%10 {
				t.Errorf("%+v, error %v", a, err)
			}
		})
	}
	wg.Wait()
	s.waitFor("the end of all zombies", func() bool {
		return s.execute("cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '").Result == "0\n"
	})
}

func TestTheEndOfTheEntrypointEndsNothingElse(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"sh", "-c", "echo out; echo err >&2; echo x >>count; exit 3"}, User: "nobody"})
	s.waitFor("the end of the entrypoint", func() bool {
		a := s.call("GET", "/process/session/entrypoint", nil)
		return len(a.Commands) == 1 && a.Commands[0].ExitCode != nil && *a.Commands[0].ExitCode == 3
	})
	if a := s.call("GET", "/process/session/entrypoint/logs", nil); a.Stdout != "out\n" || a.Stderr != "err\n" {
		t.Errorf("%+v", a)
	}
	time.Sleep(100 * time.Millisecond)
	if a := s.execute("cat count; stat -c %U count"); a.Result != "x\nnobody\n" {
		t.Errorf("it ran as or how often: %q", a.Result)
	}
}

func TestAnEntrypointThatCannotRunTellsWhy(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"/no/such/program"}})
	s.waitFor("the log", func() bool {
		return strings.Contains(s.call("GET", "/process/session/entrypoint/logs", nil).Stderr, "/no/such/program")
	})
	if a := s.call("GET", "/process/session/entrypoint", nil); *a.Commands[0].ExitCode != 127 {
		t.Errorf("%+v", a)
	}
	if a := s.execute("echo alive"); a.Result != "alive\n" {
		t.Errorf("%+v", a)
	}
}

func TestSIGTERMEndsEverythingInOrder(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"sh", "-c", `trap 'sleep 0.2; echo bye >bye; exit' TERM; echo >ready; while :; do sleep 0.02; done`}})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	s.call("POST", "/process/session/s/exec", map[string]any{"command": "sleep 1000", "runAsync": true})
	s.waitFor("the entrypoint", func() bool { return s.execute("test -e ready").ExitCode == 0 })
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 || time.Since(begin) > 4*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(begin))
	}
	if _, err := os.Stat(s.dir + "/work/bye"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.run); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestTheEntrypointEndsBeforeTheOthersAreAsked(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"sh", "-c", `trap 'sleep 0.5; kill -0 $(cat other) && echo >order; exit' TERM; echo >ready; while :; do sleep 0.02; done`}})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	s.call("POST", "/process/session/s/exec", map[string]any{"command": "echo $$ >other; exec sleep 1000", "runAsync": true})
	s.waitFor("both", func() bool { return s.execute("test -e ready -a -s other").ExitCode == 0 })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if _, err := os.Stat(s.dir + "/work/order"); err != nil {
		t.Error("the other process ended under the entrypoint")
	}
}

func TestPIDFilesOfAnEarlierRunAreGone(t *testing.T) {
	dir := t.TempDir()
	s := startSandboxOn(t, boot.Config{}, dir)
	if a := s.execute("mkdir -p /run/daemon && echo 27 | tee /run/docker.pid >/run/daemon/d.pid && echo kept >/run/daemon/other"); a.ExitCode != 0 {
		t.Fatal(a)
	}
	s.cmd.Process.Kill()
	<-s.ended
	again := startSandboxOn(t, boot.Config{}, dir)
	if a := again.execute("find /run -name docker.pid -o -name d.pid -o -name other"); a.Result != "/run/daemon/other\n" {
		t.Errorf("left: %q", a.Result)
	}
}

func TestARestartCleansWhatACrashLeft(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	old := s.execute("ls /run/.daytona-toolbox/pipes").Result
	if strings.TrimSpace(old) == "" {
		t.Fatal("there are no pipes")
	}
	s.cmd.Process.Kill()
	<-s.ended
	if names, _ := os.ReadDir(s.run + "/.daytona-toolbox/pipes"); len(names) == 0 {
		t.Fatal("the crash left nothing")
	}
	second := startSandboxOn(t, boot.Config{}, s.run)
	if a := second.execute("ls /run/.daytona-toolbox; ls /run/.daytona-toolbox/pipes"); a.Result != "logs\npipes\n" {
		t.Errorf("old pipes: %q", a.Result)
	}
}

func TestATimeoutKillsDescendants(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	a := s.call("POST", "/process/execute", map[string]any{"command": "setsid sleep 7777 & sleep 7777", "timeout": 1})
	if a.status != 408 || a.Code != "PROCESS_EXECUTION_TIMEOUT" {
		t.Errorf("%+v", a)
	}
	if got := s.execute("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 777[7]' | wc -l").Result; got != "0\n" {
		t.Errorf("%s still run", got)
	}
}

func TestAClientThatLeavesEndsItsCommandAndNoOther(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		_, _ = s.try(ctx, "POST", "/process/execute", map[string]any{"command": "echo $$ >pid; sleep 1000"})
	}()
	s.waitFor("the command", func() bool { return s.execute("test -s pid").ExitCode == 0 })
	leave()
	s.waitFor("its end", func() bool { return s.execute("kill -0 $(cat pid)").ExitCode != 0 })
}

func TestABackgroundProcessDoesNotHoldTheAnswerAndLivesOn(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	begin := time.Now()
	a := s.execute("(sleep 0.5; echo late; sleep 0.5; echo later; echo done >done) & echo hi")
	if a.Result != "hi\n" || time.Since(begin) > 450*time.Millisecond {
		t.Errorf("%+v after %v", a, time.Since(begin))
	}
	s.waitFor("its end", func() bool { return s.execute("test -e done").ExitCode == 0 })
}

func TestBadInputIsExplained(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	for name, c := range map[string]struct {
		path string
		body map[string]any
		want string
	}{
		"NUL in a command":        {"/process/execute", map[string]any{"command": "echo \x00"}, "NUL byte"},
		"no command":              {"/process/execute", map[string]any{}, "command is missing"},
		"negative timeout":        {"/process/execute", map[string]any{"command": "true", "timeout": -1}, "timeout"},
		"bad variable":            {"/process/execute", map[string]any{"command": "true", "envs": map[string]string{"A=B": "c"}}, "'A=B'"},
		"missing directory":       {"/process/execute", map[string]any{"command": "true", "cwd": "/none"}, "'/none' does not exist"},
		"blank command":           {"/process/execute", map[string]any{"command": " \n"}, "command is missing"},
		"too long a variable":     {"/process/execute", map[string]any{"command": "true", "envs": map[string]string{"A": strings.Repeat("x", 200_000)}}, "too long"},
		"unknown language":        {"/process/code-run", map[string]any{"code": "1", "language": "cobol"}, "python, javascript, typescript"},
		"NUL in a session's name": {"/process/session", map[string]any{"sessionId": "a\x00"}, "NUL byte"},
	} {
		if a := s.call("POST", c.path, c.body); a.status != 400 || !strings.Contains(a.Message, c.want) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAnImageWithoutShellAndInterpretersSaysSo(t *testing.T) {
	s := startSandboxAfter(t, boot.Config{Env: map[string]string{"PATH": "/nothing"}}, t.TempDir(), "mount -t tmpfs none /usr")
	if a := s.execute("true"); a.status != 400 || !strings.Contains(a.Message, "no shell") {
		t.Errorf("%+v", a)
	}
	if a := s.call("POST", "/process/session", map[string]string{"sessionId": "s"}); a.status != 400 || !strings.Contains(a.Message, "no shell") {
		t.Errorf("%+v", a)
	}
	for language, want := range map[string]string{"python": "no Python", "javascript": "no Node.js", "typescript": "cannot run TypeScript"} {
		if a := s.call("POST", "/process/code-run", map[string]any{"code": "1", "language": language}); a.status != 400 || !strings.Contains(a.Message, want) {
			t.Errorf("%s: %+v", language, a)
		}
	}
	if a := s.call("POST", "/process/interpreter/context", map[string]any{}); a.status != 500 || !strings.Contains(a.Message, "no Python") {
		t.Errorf("%+v", a)
	}
}

func TestSessionsOfEveryShellKeepStateThroughSyntaxErrors(t *testing.T) {
	for _, shell := range []string{"bash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Fatal(err)
			}
			bin := t.TempDir()
			name := map[string]string{"bash": "bash", "dash": "sh"}[shell]
			for link, target := range map[string]string{name: path, "cat": "/bin/cat"} {
				if err := os.Symlink(target, filepath.Join(bin, link)); err != nil {
					t.Fatal(err)
				}
			}
			s := startSandbox(t, boot.Config{Env: map[string]string{"PATH": bin}})
			if a := s.call("POST", "/process/session", map[string]string{"sessionId": "s"}); a.status != 201 {
				t.Fatalf("%+v", a)
			}
			run := func(command string) answer {
				return s.call("POST", "/process/session/s/exec", map[string]any{"command": command})
			}
			run("cd /usr; V='a b'; f() { echo f $1; }")
			for _, broken := range []string{"if", "echo 'open", "cat <<END\nx", "}", "$(", "x=$(cat <<E", "echo $((", "no-such-program"} {
				if a := run(broken); a.status != 200 {
					t.Errorf("%q: %+v", broken, a)
				}
			}
			if a := run("pwd; f \"$V\"; false # comment"); a.Stdout != "/usr\nf a b\n" || a.ExitCode != 1 {
				t.Errorf("%+v", a)
			}
			if a := run("exit 9"); a.status != 200 || a.ExitCode != 9 {
				t.Errorf("%+v", a)
			}
			if a := run("true"); a.status != 410 || a.Code != "SESSION_ENDED" {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestCommandsQueuedBehindTheEndOfTheShellAreTold(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	first := s.call("POST", "/process/session/s/exec", map[string]any{"command": "echo $$ >pid; echo begun; sleep 1000", "runAsync": true})
	second := s.call("POST", "/process/session/s/exec", map[string]any{"command": "echo never", "runAsync": true})
	if first.status != 202 || second.status != 202 {
		t.Fatalf("%+v %+v", first, second)
	}
	s.waitFor("the first", func() bool { return s.execute("test -s pid").ExitCode == 0 })
	s.execute("kill -9 $(cat pid)")
	for _, cmd := range []answer{first, second} {
		s.waitFor("its end", func() bool {
			return s.call("GET", "/process/session/s/command/"+cmd.CmdID, nil).ExitCode == 137
		})
	}
	if a := s.call("GET", "/process/session/s/command/"+first.CmdID+"/logs", nil); a.Output != "begun\n" {
		t.Errorf("%+v", a)
	}
	if a := s.call("GET", "/process/session/s/command/"+second.CmdID+"/logs", nil); !strings.Contains(a.Stderr, "ended before this command began") {
		t.Errorf("%+v", a)
	}
}

func TestADeletedSessionLeavesNoProcessesAndNoFiles(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	s.call("POST", "/process/session/s/exec", map[string]any{"command": "setsid sleep 6666 & (sleep 6666 &); sleep 6666", "runAsync": true})
	s.waitFor("the processes", func() bool { return sleeping(s) == "3\n" })
	if a := s.call("DELETE", "/process/session/s", nil); a.status != 204 {
		t.Errorf("%+v", a)
	}
	if got := sleeping(s); got != "0\n" {
		t.Errorf("%s processes are left", got)
	}
	if got := s.execute("ls -A /run/.daytona-toolbox/pipes /run/.daytona-toolbox/logs | grep -v :").Result; strings.TrimSpace(got) != "" {
		t.Errorf("files are left: %q", got)
	}
	if a := s.call("GET", "/process/session/s", nil); a.status != 404 {
		t.Errorf("%+v", a)
	}
}

func sleeping(s *sandbox) string {
	return s.execute("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 666[6]' | wc -l").Result
}

func TestAFollowedLogIsWholeAndEndsWithTheCommand(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	cmd := s.call("POST", "/process/session/s/exec", map[string]any{"command": "seq 100000; read line; echo got $line >&2; sleep 5 &", "runAsync": true})
	path := "/process/session/s/command/" + cmd.CmdID
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://agent"+path+"/logs?follow=true", &websocket.DialOptions{HTTPClient: &http.Client{Transport: s.client.Transport}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	sent := false
	streams := map[byte]*strings.Builder{1: {}, 2: {}}
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("it ended with %v", err)
			}
			break
		}
		if len(message) < 4 || message[0] != message[1] || message[1] != message[2] || streams[message[0]] == nil {
			t.Fatalf("a message begins with %q", message[:min(4, len(message))])
		}
		streams[message[0]].Write(message[3:])
		if !sent && strings.HasSuffix(streams[1].String(), "\n100000\n") {
			sent = true
			if a := s.call("POST", path+"/input", map[string]string{"data": "some input"}); a.status != 204 {
				t.Errorf("%+v", a)
			}
		}
	}
	if n := strings.Count(streams[1].String(), "\n"); n != 100_001 || !strings.HasSuffix(streams[1].String(), "some input\n") || streams[2].String() != "got some input\n" {
		t.Errorf("%d lines of output and %q", n, streams[2])
	}
	if a := s.call("POST", path+"/input", map[string]string{"data": "x"}); a.status != 410 || a.Code != "COMMAND_ALREADY_COMPLETED" {
		t.Errorf("%+v", a)
	}
}

func TestTheEnvironmentOfLaterProcessesCanChange(t *testing.T) {
	s := startSandbox(t, boot.Config{Env: map[string]string{"KEEP": "1", "DROP": "2", "SECRET": "placeholder-3"}})
	a := s.call("POST", "/env", map[string]any{"set": map[string]string{"NEW": "4"}, "unset": []string{"DROP"}, "unsetValuePrefix": "placeholder-"})
	if a.status != 200 {
		t.Fatalf("%+v", a)
	}
	if a := s.execute(`echo "$KEEP,$DROP,$SECRET,$NEW"`); a.Result != "1,,,4\n" {
		t.Errorf("%+v", a)
	}
}

func TestSmallMemoryAfterLargeOutput(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	if a := s.execute(`head -c 50000000 /dev/zero | tr '\0' x`); len(a.Result) != 50_000_000 {
		t.Fatalf("%d bytes", len(a.Result))
	}
	var kB string
	if a := s.execute("grep RssAnon /proc/1/status"); a.status == 200 {
		kB = a.Result
	}
	fields := strings.Fields(kB)
	if len(fields) < 2 || len(fields[1]) > 5 || fields[1] > "16384" && len(fields[1]) == 5 {
		t.Errorf("the agent uses %q", kB)
	}
}
