package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (a *app) forkCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "fork SANDBOX", Short: "Make a sandbox with a copy of another's disk", Args: exactly(1, "a sandbox's id or name"),
		Long:    "Make a sandbox with a copy of another's disk, which may run meanwhile. Processes do\nnot come along: the fork starts anew.",
		Example: `  daytona fork web --name attempt-2`,
	}
	f := formatFlag(c)
	c.Flags().StringVarP(&name, "name", "n", "", "name (default: the id)")
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		ctx, cancel := wait()
		defer cancel()
		s, err := a.sandbox(ctx, args[0])
		if err != nil {
			return err
		}
		stop := spin(a.program.Err, "fork of "+args[0])
		fork, err := s.Fork(ctx, name)
		stop()
		if err != nil {
			return err
		}
		return f.print(a.program.Out, fork.Sandbox, func(w io.Writer) { fmt.Fprintf(w, "Sandbox %s is %s.\n", fork.Name, fork.State) })
	}
	return c
}
