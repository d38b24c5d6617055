package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) execCommand() *cobra.Command {
	var cwd string
	var timeout time.Duration
	c := &cobra.Command{
		Use: "exec SANDBOX -- COMMAND [ARGUMENT...]", Short: "Run a command in a sandbox",
		Long: `Run a command in a sandbox, stream its output, and exit with its exit code.

A single argument after -- is run by the sandbox's shell. Several arguments are a
command and its arguments, passed unchanged. Standard input is empty. When you
interrupt daytona exec, or --timeout expires, the command and every process that
it started are killed.`,
		Example: "  daytona exec web -- 'ls | wc -l'\n  daytona exec web -- python3 -c 'print(6 * 7)'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{fmt.Errorf("requires a sandbox and a command: %s", cmd.UseLine())}
			}
			return nil
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&cwd, "cwd", "", "directory to run the command in (default: the sandbox's working directory)")
	c.Flags().Var((*patience)(&timeout), "timeout", "kill the command after this time, such as 30 (seconds) or 5m (default: no limit)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		words := args[1:]
		if len(words) > 1 && words[0] == "--" {
			words = words[1:]
		}
		line := words[0]
		if len(words) > 1 {
			line = shellescape.QuoteCommand(words)
		}
		return a.exec(cmd, args[0], line, cwd, timeout)
	}
	return c
}

// patience is a flag for a timeout: a number of seconds, or a duration.
type patience time.Duration

// String implements pflag.Value.
func (p *patience) String() string {
	if *p == 0 {
		return ""
	}
	return time.Duration(*p).String()
}

// Type implements pflag.Value.
func (p *patience) Type() string { return "duration" }

// Set implements pflag.Value.
func (p *patience) Set(s string) error {
	d, err := time.ParseDuration(s)
	if n, e := strconv.Atoi(s); e == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration: use a number of seconds, or a value such as 30s or 5m", s)
	}
	*p = patience(d)
	return nil
}

// noInput gives the commands after it an empty standard input. In a session they
// would otherwise wait for input.
const noInput = "exec </dev/null\n"

// exec runs the line in a new session, follows its output, and deletes the session
// with everything that runs in it when this command ends.
func (a *app) exec(cmd *cobra.Command, name, line, cwd string, timeout time.Duration) error {
	ctx := cmd.Context()
	s, err := a.sandbox(ctx, name)
	if err != nil {
		return err
	}
	session := "exec-" + uuid.NewString()
	if err := s.Process.CreateSession(ctx, session); err != nil {
		return err
	}
	defer func() {
		// Also after an interrupt.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := s.Process.DeleteSession(ctx, session); err != nil {
			fmt.Fprintf(a.program.Err, "Warning: cannot end the session: %s\n", describe(err))
		}
	}()
	if cwd != "" {
		out, err := s.Process.ExecuteSessionCommand(ctx, session, daytona.SessionExecuteRequest{Command: "cd " + shellescape.Quote(cwd)})
		if err != nil {
			return err
		}
		if out.ExitCode == nil || *out.ExitCode != 0 {
			return fmt.Errorf("cannot change to directory %s: %s", cwd, strings.TrimSpace(out.Stderr))
		}
	}
	started, err := s.Process.ExecuteSessionCommand(ctx, session, daytona.SessionExecuteRequest{Command: noInput + line, RunAsync: true})
	if err != nil {
		return err
	}
	follow, cancel := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		follow, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	if err := s.Process.FollowSessionCommandLogs(follow, session, started.CmdID, a.program.Out, a.program.Err); err != nil {
		if follow.Err() != nil && ctx.Err() == nil {
			return &daytona.Error{StatusCode: 408, Message: fmt.Sprintf("The command did not end within %s and was killed.", timeout)}
		}
		return err
	}
	ended, err := s.Process.GetSessionCommand(ctx, session, started.CmdID)
	if err != nil {
		return err
	}
	if ended.ExitCode != nil && *ended.ExitCode != 0 {
		return exitStatus(*ended.ExitCode)
	}
	return nil
}
