// Package servercmd implements the subcommands of `daytona server`, which check a
// machine, act on a data directory, or talk to a running server as its administrator.
package servercmd

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/logging"
	"github.com/opendaytona/daytona/internal/machine"
)

// Commands returns all subcommands.
func Commands(version string) []*cobra.Command {
	return []*cobra.Command{checkCommand(version), purgeCommand(version), trustCommand(), imagesCommand(), organizationCommand(), quarantineCommand()}
}

// UntilSignal returns a context that the first SIGTERM or SIGINT ends. The
// second one ends the process.
func UntilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	done := make(chan struct{})
	go func() {
		// ctx may end before its signal is seen here: its parent hears it too.
		for first := true; ; first = false {
			select {
			case got := <-signals:
				if !first {
					os.Exit(1)
				}
				cancel(errors.New(got.String()))
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

func checkCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check whether this machine can run sandboxes",
		Long: `List the server's requirements and whether this machine meets them, and then start a
test sandbox and a build step in a separate data directory.

The check takes a few seconds, or a minute at most. It does not affect running servers
and changes no settings of the machine. It removes everything at the end; the next
check removes what a killed one left.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			ctx, stop := UntilSignal(cmd.Context())
			defer stop()
			return machine.Check(ctx, conf, version, cmd.OutOrStdout())
		},
	}
}

func purgeCommand(version string) *cobra.Command {
	var data bool
	c := &cobra.Command{
		Use:   "purge",
		Short: "Stop all sandboxes and release the machine's resources",
		Long: `Stop all sandboxes of a data directory, and release what they use on this machine:
processes, mounts, namespaces, control groups, packet filters, loop devices. No server
may be running on the directory. Disks are kept, unless --data is set.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			ctx, stop := UntilSignal(cmd.Context())
			defer stop()
			return Purge(ctx, conf, version, data, logging.New(cmd.ErrOrStderr(), conf.LogLevel, conf.JSONLog()))
		},
	}
	c.Flags().BoolVar(&data, "data", false, "also delete the data directory with all sandboxes, snapshots and keys")
	return c
}
