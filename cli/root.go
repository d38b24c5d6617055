// Package cli is the daytona command: cobra commands over package sdk, one file
// for each noun and verb. It imports sdk and api, nothing of internal/; the
// server's own commands are handed to it. Look next at client.go, which finds
// the server and the key, and output.go, which prints for people and programs.
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
	Commands []*cobra.Command // added to the client's own
	Args     []string
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command and returns the exit code. An interrupt ends what it
// waits for, and what daytona exec runs.
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
		Short: "Sandboxes for running code, made of snapshots",
		Long: `Daytona runs code of people and agents in sandboxes, made of snapshots in
milliseconds.

The server and the key are, in this order: --api-url and --api-key; the variables
DAYTONA_API_URL and DAYTONA_API_KEY; the profile made by daytona login; the
server on this machine.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 no or not enough
permission, 5 timed out, 130 interrupted. daytona exec passes on the exit code of
what it ran.`,
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
		a.snapshotCommand(), a.registryCommand(), a.warmPoolCommand(), a.createCommand(), a.forkCommand(), a.listCommand(), a.infoCommand(), a.resizeCommand(), a.execCommand(), a.previewURLCommand(), a.portForwardCommand(),
		a.startCommand(), a.stopCommand(), a.deleteCommand(),
	)
	return root
}

// plainSwitches writes a switch in the list of flags as it is used, without the
// values that it could be given.
func plainSwitches(usages string) string {
	const values = "[=true|false]"
	return strings.ReplaceAll(usages, values, strings.Repeat(" ", len(values)))
}
