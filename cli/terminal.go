package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) terminalCommand() *cobra.Command {
	var session, cwd string
	c := &cobra.Command{
		Use: "terminal SANDBOX", Short: "Open a terminal in a sandbox",
		Long: `Open an interactive shell in a sandbox, and exit with its exit code.

Type ~. at the beginning of a line to leave, and ~~ to type a ~ there. The shell
and what it runs are killed when you leave, unless you name a session: it goes on,
and the same command opens it again, also on several machines at once.

If standard input is not a terminal, daytona terminal types what it reads, and then
Ctrl+D until the shell ends.`,
		Example: "  daytona terminal web\n  daytona terminal web --session work",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("requires a sandbox id or name: %s", cmd.UseLine())}
			}
			return nil
		},
	}
	c.Flags().StringVar(&session, "session", "", "name of a session, which goes on when you leave")
	c.Flags().StringVar(&cwd, "cwd", "", "directory to start the shell in (default: the sandbox's working directory)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.sandbox(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.terminal(cmd.Context(), s, session, cwd)
	}
	return c
}

// terminal connects this command's input and output to a shell until it ends or the
// user leaves.
func (a *app) terminal(ctx context.Context, s *daytona.Sandbox, session, cwd string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := newWindow(a.program.In)
	cols, rows := w.size()
	pty, err := openPty(ctx, s, session, cwd, cols, rows)
	if err != nil {
		return err
	}
	defer pty.Close()
	if session == "" {
		defer a.killPty(ctx, pty)
	}
	restore, err := w.raw()
	if err != nil {
		return err
	}
	defer restore()
	go w.follow(ctx, cols, rows, func(cols, rows int) {
		_ = pty.Resize(ctx, cols, rows) // fails when the shell has just ended
	})
	left := make(chan struct{})
	go func() {
		if a.typeInto(ctx, pty, w) {
			close(left)
			cancel()
		}
	}()
	_, err = io.Copy(a.program.Out, pty)
	restore()
	select {
	case <-left:
		a.sayLeft(s, session)
		return nil
	default:
	}
	exit, ended := pty.Exit()
	switch {
	case errors.Is(err, daytona.ErrTerminalLost) && session != "":
		return fmt.Errorf("%w; run the command again", err)
	case err != nil:
		return err
	case ended && exit.Code != 0:
		return exitStatus(exit.Code)
	}
	return nil
}

// openPty opens a new terminal, or a session that is there.
func openPty(ctx context.Context, s *daytona.Sandbox, session, cwd string, cols, rows int) (*daytona.Pty, error) {
	o := daytona.PtyOptions{Cwd: cwd, Cols: cols, Rows: rows}
	if session == "" {
		return s.Process.CreatePty(ctx, "terminal-"+uuid.NewString(), o)
	}
	pty, err := s.Process.CreatePty(ctx, session, o)
	if !errors.Is(err, daytona.ErrConflict) {
		return pty, err
	}
	if pty, err = s.Process.ConnectPty(ctx, session); err == nil && cols > 0 {
		err = pty.Resize(ctx, cols, rows)
	}
	return pty, err
}

// killPty ends a terminal that may have ended by itself, also after an interrupt.
func (a *app) killPty(ctx context.Context, pty *daytona.Pty) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, ended := pty.Exit(); ended {
		return
	}
	if err := pty.Kill(ctx); err != nil && !errors.Is(err, daytona.ErrNotFound) {
		fmt.Fprintf(a.program.Err, "Warning: cannot end the terminal: %s\n", describe(err))
	}
}

func (a *app) sayLeft(s *daytona.Sandbox, session string) {
	fmt.Fprintln(a.program.Err)
	if session != "" {
		fmt.Fprintf(a.program.Err, "The session goes on. To open it again: daytona terminal %s --session %s\n", s.Name, session)
	}
}

// typeInto types the input. It returns whether the user wants to leave.
func (a *app) typeInto(ctx context.Context, pty io.Writer, w window) (leave bool) {
	if w.isTerminal() {
		_, err := io.Copy(pty, &escape{in: a.program.In, fresh: true})
		return errors.Is(err, errLeave)
	}
	if _, err := io.Copy(pty, a.program.In); err != nil {
		return false // the shell has ended
	}
	// Each program that reads is told of the end, and one that is busy when it is
	// told may not notice: the shell, in the end, does.
	const endOfFile = "\x04"
	again := time.NewTicker(300 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := io.WriteString(pty, endOfFile); err != nil {
			return false
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}

// window is the user's terminal, by its descriptor: -1 if the input is no file.
type window struct{ fd int }

func newWindow(in io.Reader) window {
	if f, ok := in.(*os.File); ok {
		return window{int(f.Fd())}
	}
	return window{-1}
}

func (w window) isTerminal() bool { return term.IsTerminal(w.fd) }

// size is 0 by 0 when there is no window.
func (w window) size() (cols, rows int) {
	cols, rows, err := term.GetSize(w.fd)
	if err != nil {
		return 0, 0
	}
	return min(cols, 1000), min(rows, 1000)
}

// raw passes keys on as they are, until restore, which may be called twice.
func (w window) raw() (restore func(), err error) {
	if !w.isTerminal() {
		return func() {}, nil
	}
	before, err := term.MakeRaw(w.fd)
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	return func() { _ = term.Restore(w.fd, before) }, nil
}

// follow tells of every change of the size, beginning with one since it was as
// given, until ctx ends.
func (w window) follow(ctx context.Context, cols, rows int, tell func(cols, rows int)) {
	if !w.isTerminal() {
		return
	}
	changed, stop := windowChanges()
	defer stop()
	for {
		if c, r := w.size(); c > 0 && (c != cols || r != rows) {
			cols, rows = c, r
			tell(cols, rows)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
