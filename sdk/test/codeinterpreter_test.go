//go:build linux

package daytona_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestCodeRunsInContexts(t *testing.T) {
	sb, _, _ := started(t)
	ctx := t.Context()
	interpreter := sb.CodeInterpreter
	var pieces []string
	out, err := interpreter.RunCode(ctx, "import os, sys\nx = 40\nprint(os.environ['A'])\nprint('err', file=sys.stderr)", daytona.RunCodeOptions{
		Env:      map[string]string{"A": "b"},
		OnStdout: func(text string) { pieces = append(pieces, "out "+text) },
		OnStderr: func(text string) { pieces = append(pieces, "err "+text) },
	})
	ok(t, err)
	if out.Stdout != "b\n" || out.Stderr != "err\n" || out.Error != nil || strings.Join(pieces, "") != "out b\nerr err\n" {
		t.Errorf("%+v, %q", out, pieces)
	}
	var told daytona.ExecutionError
	out, err = interpreter.RunCode(ctx, "print(x + 2)\nraise ValueError('v')", daytona.RunCodeOptions{OnError: func(e daytona.ExecutionError) { told = e }})
	ok(t, err)
	if out.Stdout != "42\n" || out.Error == nil || *out.Error != told || told.Error() != "ValueError: v" || !strings.Contains(told.Traceback, `File "<stdin>", line 2`) {
		t.Errorf("%+v, %+v", out, told)
	}

	c, err := interpreter.CreateContext(ctx, "/")
	ok(t, err)
	if c.Cwd != "/" || !c.Active || c.Language != "python" || time.Since(c.CreatedAt) > time.Hour {
		t.Errorf("%+v", c)
	}
	out, err = interpreter.RunCode(ctx, "import os; print(os.getcwd()); x", daytona.RunCodeOptions{ContextID: c.ID})
	ok(t, err)
	if out.Stdout != "/\n" || out.Error == nil || out.Error.Name != "NameError" {
		t.Errorf("%+v", out)
	}
	out, err = interpreter.RunCode(ctx, "x = 1\nprint('begun')\nwhile True: pass", daytona.RunCodeOptions{ContextID: c.ID, Timeout: time.Millisecond})
	wants(t, "code that takes too long", err, daytona.ErrTimeout)
	if out.Stdout != "begun\n" {
		t.Errorf("until the timeout: %+v", out)
	}
	out, err = interpreter.RunCode(ctx, "print(x)", daytona.RunCodeOptions{ContextID: c.ID, Timeout: -1})
	ok(t, err)
	if out.Stdout != "1\n" {
		t.Errorf("after the timeout: %+v", out)
	}
	all, err := interpreter.ListContexts(ctx)
	ok(t, err)
	if len(all) != 1 || all[0].ID != c.ID {
		t.Errorf("contexts %+v", all)
	}

	failed := make(chan error)
	go func() {
		_, err := interpreter.RunCode(ctx, "import time; time.sleep(600)", daytona.RunCodeOptions{ContextID: c.ID})
		failed <- err
	}()
	time.Sleep(200 * time.Millisecond)
	ok(t, interpreter.DeleteContext(ctx, c.ID))
	wants(t, "a context that is deleted", <-failed, daytona.ErrGone)
	wants(t, "deleting it again", interpreter.DeleteContext(ctx, c.ID), daytona.ErrNotFound)
	wants(t, "deleting the default one", interpreter.DeleteContext(ctx, "default"), daytona.ErrInvalid)
	_, err = interpreter.RunCode(ctx, "1", daytona.RunCodeOptions{ContextID: c.ID})
	wants(t, "a context that is gone", err, daytona.ErrInvalid)
	_, err = interpreter.RunCode(ctx, " ", daytona.RunCodeOptions{})
	wants(t, "no code", err, daytona.ErrInvalid)
	_, err = interpreter.CreateContext(ctx, "/no/such")
	wants(t, "a directory that is not there", err, daytona.ErrInvalid)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err = interpreter.RunCode(short, "import time; time.sleep(600)", daytona.RunCodeOptions{Timeout: time.Second}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an impatient caller: %v", err)
	}
}
