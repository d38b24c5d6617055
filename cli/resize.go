package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) resizeCommand() *cobra.Command {
	var r daytona.Resources
	c := &cobra.Command{
		Use: "resize SANDBOX", Short: "Change the CPU, memory and disk of a sandbox", Args: exactly(1, "a sandbox id or name"),
		Long: `Change the CPU, memory and disk of a sandbox. A running sandbox gets the new sizes
without a restart. Memory and disk cannot be reduced below what is in use.`,
		Example: `  daytona resize web --cpu 4 --memory 8
  daytona resize web --disk 20`,
	}
	f := formatFlag(c)
	c.Flags().IntVar(&r.CPU, "cpu", 0, "number of cores (default: unchanged)")
	c.Flags().IntVar(&r.Memory, "memory", 0, "memory in GiB (default: unchanged)")
	c.Flags().IntVar(&r.Disk, "disk", 0, "disk in GiB (default: unchanged)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkResources(c); err != nil {
			return err
		}
		if r == (daytona.Resources{}) {
			return usageError{errors.New("at least one of --cpu, --memory and --disk is required")}
		}
		s, err := a.sandbox(cmd.Context(), args[0])
		if err == nil {
			err = s.Resize(cmd.Context(), r)
		}
		if err != nil {
			return err
		}
		return f.print(a.program.Out, s.Sandbox, func(w io.Writer) {
			fmt.Fprintf(w, "%d cores, %d GiB memory, %d GiB disk\n", s.CPU, s.Memory, s.Disk)
		})
	}
	return c
}
