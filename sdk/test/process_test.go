//go:build linux

package daytona_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestCommandsRun(t *testing.T) {
	sb, _, _ := started(t)
	ctx := t.Context()
	home, err := sb.GetUserHomeDir(ctx)
	ok(t, err)
	if !strings.HasPrefix(home, "/") {
		t.Errorf("home is %q", home)
	}
	work, err := sb.GetWorkDir(ctx)
	ok(t, err)
	for _, c := range []struct {
		command string
		options daytona.ExecuteOptions
		result  string
		code    int
	}{
		{"echo $GREETING", daytona.ExecuteOptions{}, "hello\n", 0},
		{"pwd", daytona.ExecuteOptions{}, work + "\n", 0},
		{"pwd; echo $X", daytona.ExecuteOptions{Cwd: "/", Env: map[string]string{"X": "y"}}, "/\ny\n", 0},
		{"echo out; echo err >&2; exit 7", daytona.ExecuteOptions{Timeout: time.Millisecond}, "out\nerr\n", 7},
		{"cat", daytona.ExecuteOptions{}, "", 0},
		{"no-such-program-here", daytona.ExecuteOptions{}, "not found", 127},
	} {
		got, err := sb.Process.ExecuteCommand(ctx, c.command, c.options)
		ok(t, err)
		if got.ExitCode != c.code || (c.code < 127 && got.Result != c.result) || !strings.Contains(got.Result, c.result) {
			t.Errorf("%s: %+v", c.command, got)
		}
	}
	_, err = sb.Process.ExecuteCommand(ctx, "sleep 60", daytona.ExecuteOptions{Timeout: time.Second})
	wants(t, "a command that takes too long", err, daytona.ErrTimeout)
	_, err = sb.Process.ExecuteCommand(ctx, "echo \x00", daytona.ExecuteOptions{})
	wants(t, "a NUL byte", err, daytona.ErrInvalid)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = sb.Process.ExecuteCommand(short, "sleep 60", daytona.ExecuteOptions{})
	wants(t, "an impatient caller", err, context.DeadlineExceeded)
}

func TestCodeRuns(t *testing.T) {
	sb, c, _ := started(t)
	ctx := t.Context()
	got, err := sb.Process.CodeRun(ctx, "", "import os, sys; print(6 * 7, sys.argv[1:], os.environ['X'])", []string{"a"}, daytona.ExecuteOptions{Env: map[string]string{"X": "y"}})
	ok(t, err)
	if got.ExitCode != 0 || got.Result != "42 ['a'] y\n" {
		t.Errorf("got %+v", got)
	}
	if got, err = sb.Process.CodeRun(ctx, "python", "raise SystemExit(3)", nil, daytona.ExecuteOptions{}); err != nil || got.ExitCode != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = sb.Process.CodeRun(ctx, "cobol", "STOP RUN", nil, daytona.ExecuteOptions{})
	wants(t, "an unknown language", err, daytona.ErrInvalid)
	other, err := c.Create(ctx, daytona.CreateParams{Language: "cobol", Labels: map[string]string{"a": "b"}})
	ok(t, err)
	if other.Labels["a"] != "b" {
		t.Errorf("labels %v", other.Labels)
	}
	_, err = other.Process.CodeRun(ctx, "", "STOP RUN", nil, daytona.ExecuteOptions{})
	wants(t, "the sandbox's own language", err, daytona.ErrInvalid)
}

func TestASessionKeepsItsState(t *testing.T) {
	sb, _, _ := started(t)
	ctx, p := t.Context(), sb.Process
	ok(t, p.CreateSession(ctx, "s 1?"))
	wants(t, "the same again", p.CreateSession(ctx, "s 1?"), daytona.ErrConflict)
	run := func(command string) *daytona.SessionExecuteResponse {
		t.Helper()
		out, err := p.ExecuteSessionCommand(ctx, "s 1?", daytona.SessionExecuteRequest{Command: command})
		ok(t, err)
		return out
	}
	run("cd /usr; X=kept")
	out := run("pwd; echo $X; echo bad >&2; (exit 4)")
	if out.Stdout != "/usr\nkept\n" || out.Stderr != "bad\n" || out.ExitCode == nil || *out.ExitCode != 4 {
		t.Errorf("got %+v", out)
	}
	logs, err := p.GetSessionCommandLogs(ctx, "s 1?", out.CmdID)
	ok(t, err)
	if logs.Stdout != out.Stdout || logs.Stderr != out.Stderr || !strings.Contains(logs.Output, "kept") {
		t.Errorf("logs %+v", logs)
	}
	session, err := p.GetSession(ctx, "s 1?")
	ok(t, err)
	if len(session.Commands) != 2 || session.Commands[1].ID != out.CmdID || *session.Commands[1].ExitCode != 4 {
		t.Errorf("session %+v", session)
	}
	all, err := p.ListSessions(ctx)
	ok(t, err)
	if len(all) != 1 || all[0].SessionID != "s 1?" {
		t.Errorf("sessions %+v", all)
	}
	ok(t, p.DeleteSession(ctx, "s 1?"))
	wants(t, "a deleted session", p.DeleteSession(ctx, "s 1?"), daytona.ErrNotFound)
	_, err = p.GetSessionCommandLogs(ctx, "s 1?", "none")
	wants(t, "logs of none", err, daytona.ErrNotFound)
	wants(t, "following none", p.FollowSessionCommandLogs(ctx, "s 1?", "none", &bytes.Buffer{}, &bytes.Buffer{}), daytona.ErrNotFound)
}

func TestFollowedLogsComeAsTheyAreWrittenAndTakeInput(t *testing.T) {
	sb, _, _ := started(t)
	ctx, p := t.Context(), sb.Process
	ok(t, p.CreateSession(ctx, "s"))
	began, err := p.ExecuteSessionCommand(ctx, "s", daytona.SessionExecuteRequest{
		Command: `echo ready; read line; echo "got $line"; echo oops >&2; printf '\001\002\001'; exit 5`, RunAsync: true, SuppressInputEcho: true,
	})
	ok(t, err)
	if began.CmdID == "" || began.ExitCode != nil {
		t.Errorf("began as %+v", began)
	}
	var stderr bytes.Buffer
	stdout := &tap{seen: func(all string) {
		if all == "ready\n" { // it came while the command runs
			if err := p.SendSessionCommandInput(ctx, "s", began.CmdID, "this"); err != nil {
				t.Error(err)
			}
		}
	}}
	ok(t, p.FollowSessionCommandLogs(ctx, "s", began.CmdID, stdout, &stderr))
	if stdout.String() != "ready\ngot this\n\x01\x02\x01" || stderr.String() != "oops\n" {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
	ended, err := p.GetSessionCommand(ctx, "s", began.CmdID)
	ok(t, err)
	if ended.ExitCode == nil || *ended.ExitCode != 5 {
		t.Errorf("ended as %+v", ended)
	}
	wants(t, "input after the end", p.SendSessionCommandInput(ctx, "s", began.CmdID, "more"), daytona.ErrGone)
	_, err = p.ExecuteSessionCommand(ctx, "s", daytona.SessionExecuteRequest{Command: "true"})
	wants(t, "a shell that has ended", err, daytona.ErrGone)
}

// tap is a buffer that tells of every write.
type tap struct {
	bytes.Buffer
	seen func(all string)
}

func (w *tap) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	w.seen(w.String())
	return n, err
}

func TestFollowingEndsWithItsContextAndWithTheSandbox(t *testing.T) {
	sb, c, _ := started(t)
	ctx, p := t.Context(), sb.Process
	same, err := c.Get(ctx, "box")
	ok(t, err)
	ok(t, p.CreateSession(ctx, "s"))
	began, err := p.ExecuteSessionCommand(ctx, "s", daytona.SessionExecuteRequest{Command: "echo a; sleep 60", RunAsync: true})
	ok(t, err)
	short, cancel := context.WithCancel(ctx)
	err = p.FollowSessionCommandLogs(short, "s", began.CmdID, &tap{seen: func(string) { cancel() }}, &bytes.Buffer{})
	wants(t, "a context that ends", err, context.Canceled)
	stopped := make(chan error, 1)
	err = p.FollowSessionCommandLogs(ctx, "s", began.CmdID, &tap{seen: func(string) {
		go func() { stopped <- same.Stop(ctx) }()
	}}, &bytes.Buffer{})
	ok(t, <-stopped)
	if err != nil {
		// The agent may tell of the end before it goes, or not.
		wants(t, "a sandbox that stops", err, daytona.ErrUnreachable)
	}
	ok(t, sb.WaitUntilStopped(ctx))
}
