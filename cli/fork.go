package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (a *app) forkCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "fork SANDBOX", Short: "Create a sandbox with a copy of another sandbox's disk", Args: exactly(1, "a sandbox id or name"),
		Long: `Create a sandbox with a copy of another sandbox's disk, and start it. The source may
keep running. Processes are not copied: the fork runs its entrypoint from the
beginning.`,
		Example: `  daytona fork web --name attempt-2`,
	}
	f := formatFlag(c)
	c.Flags().StringVarP(&name, "name", "n", "", "name of the fork (default: its id)")
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		ctx, cancel := wait()
		defer cancel()
		s, err := a.sandbox(ctx, args[0])
		if err != nil {
			return err
		}
		stop := spin(a.program.Err, "Forking "+args[0])
		fork, err := s.Fork(ctx, name)
		stop()
		if err != nil {
			return err
		}
		return f.print(a.program.Out, fork.Sandbox, func(w io.Writer) { fmt.Fprintf(w, "Sandbox %s is %s.\n", fork.Name, fork.State) })
	}
	return c
}
