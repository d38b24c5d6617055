package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/logfile"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type execRequest struct {
	Command           string `json:"command"`
	Async             bool   `json:"async"` // former name of runAsync
	RunAsync          bool   `json:"runAsync"`
	SuppressInputEcho bool   `json:"suppressInputEcho"`
}

// exec runs a command in a session: with runAsync it answers at once, else when
// the command has ended. A client that goes away does not end the command.
func (s *Service) exec(w http.ResponseWriter, r *http.Request) error {
	one, err := s.find(r)
	if err != nil {
		return err
	}
	var req execRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(req.Command) == "":
		return wire.Bad("command is missing")
	case strings.ContainsRune(req.Command, 0):
		return wire.Bad("the command contains a NUL byte")
	}
	async := req.Async || req.RunAsync
	cmd, err := one.newCommand(req.Command, s.newLogPath(), async, req.SuppressInputEcho)
	if err != nil {
		return err
	}
	if err := one.submit(cmd); err != nil {
		cmd.release()
		cmd.log.Remove()
		return err
	}
	if async {
		wire.JSON(w, http.StatusAccepted, map[string]string{"cmdId": cmd.id})
		return nil
	}
	select {
	case <-cmd.done:
	case <-r.Context().Done():
		return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away; the command goes on")
	}
	if cmd.cut.Load() {
		return one.endedError()
	}
	return cmd.answer(w, r)
}

// answer tells of a command that has ended.
func (c *command) answer(w http.ResponseWriter, r *http.Request) error {
	head := fmt.Sprintf(`{"cmdId":%q,"exitCode":%d,`, c.id, c.code)
	if !wantsMarks(r) {
		return writeLogs(w, head, c.log.Reader(logfile.Both), c.log)
	}
	output := marked(c.log)
	defer output.Close()
	return writeLogs(w, head, output, c.log)
}

// input gives a line to a running command and, unless the command was started
// with suppressInputEcho, notes it in the command's output as a terminal would.
func (s *Service) input(w http.ResponseWriter, r *http.Request) error {
	one, cmd, err := s.findCommand(r)
	if err != nil {
		return err
	}
	var req struct {
		Data *string `json:"data"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Data == nil {
		return wire.Bad("data is missing")
	}
	if one.dead() || one.deleted.Load() {
		return one.endedError()
	}
	if !cmd.takesInput && cmd.running() {
		return wire.Bad("command %q was started without runAsync, so its input is empty: start it with runAsync", cmd.id)
	}
	line := *req.Data
	if !strings.HasSuffix(line, "\n") {
		line += "\n"
	}
	if err := cmd.write(r.Context(), line); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *command) write(ctx context.Context, line string) error {
	c.mu.Lock()
	input := c.input
	c.mu.Unlock()
	completed := wire.Errorf(http.StatusGone, wire.CommandAlreadyCompleted, "command %q has ended and takes no more input", c.id)
	if input == nil {
		return completed
	}
	if !c.suppressEcho {
		c.log.Append(logfile.Stdout, []byte(line))
	}
	stop := context.AfterFunc(ctx, func() { _ = input.SetWriteDeadline(time.Now()) })
	defer stop()
	_, err := io.WriteString(input, line)
	switch {
	case errors.Is(err, os.ErrClosed):
		return completed
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = input.SetWriteDeadline(time.Time{})
		return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the command did not read its input before the client went away")
	case err != nil:
		return fmt.Errorf("write input of command %s: %w", c.id, err)
	}
	return nil
}
