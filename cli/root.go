// Package cli implements the daytona command line client: cobra commands on top of
// package sdk, one file per noun or verb. The server's own commands are passed in.
// Start reading at client.go, which finds the server and the key, and output.go,
// which prints tables, JSON and YAML.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Program is one run of the command.
type Program struct {
	Version  string
	Commands []*cobra.Command // added to the client's commands
	Args     []string
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command and returns the exit code. An interrupt ends its waits, and
// kills the command that daytona exec runs.
func Main(ctx context.Context, p Program) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(p)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if message := describe(err); message != "" {
		fmt.Fprintln(p.Err, "Error: "+message)
	}
	return exitCode(err)
}

func newRoot(p Program) *cobra.Command {
	a := &app{program: p}
	root := &cobra.Command{
		Use:   "daytona",
		Short: "Run code in secure sandboxes",
		Long: `Daytona runs code for people and AI agents in secure sandboxes, which start from
snapshots in milliseconds.

The client looks for a server and an API key in this order: the flags --api-url and
--api-key, the variables DAYTONA_API_URL and DAYTONA_API_KEY, the profile saved by
daytona login, the server on this machine.

Exit codes:
  0    success
  1    failure
  2    invalid usage
  3    not found
  4    not authenticated, or permission missing
  5    timeout
  130  interrupted
daytona exec and daytona terminal exit with the exit code of what they run.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetArgs(p.Args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	cobra.AddTemplateFunc("plainSwitches", plainSwitches)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages | ", ".FlagUsages | plainSwitches | "))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	a.addFlags(root.PersistentFlags())
	root.AddCommand(p.Commands...)
	root.AddCommand(
		a.loginCommand(), a.profileCommand(), a.envCommand(), a.versionCommand(),
		a.snapshotCommand(), a.registryCommand(), a.warmPoolCommand(), a.createCommand(), a.forkCommand(), a.listCommand(), a.infoCommand(), a.resizeCommand(), a.execCommand(), a.terminalCommand(), a.previewURLCommand(), a.portForwardCommand(),
		a.startCommand(), a.stopCommand(), a.deleteCommand(),
	)
	return root
}

// plainSwitches removes the optional values of boolean flags from the list of flags.
func plainSwitches(usages string) string {
	const values = "[=true|false]"
	return strings.ReplaceAll(usages, values, strings.Repeat(" ", len(values)))
}
