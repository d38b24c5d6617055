// Package servercmd has the commands below `daytona server`, which look at a machine
// or a data directory, or ask a running server as its administrator.
package servercmd

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/logging"
	"github.com/opendaytona/daytona/internal/machine"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Commands are all of them.
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
		Short: "Tell what a server needs of this machine, and start a sandbox to prove it",
		Long: `Tell what a server needs of this machine and what is missing, and then start a
sandbox and a build step as a server does, in a data directory of their own
beside the configured one. It takes a few seconds, a minute at most, disturbs no
server that runs, and removes all of it; what a killed check leaves, the next one
removes. No setting of the machine is changed.`,
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
		Short: "Stop all sandboxes of a data directory and free what they hold of this machine",
		Long: `Stop all sandboxes of a data directory, and free what they hold of this machine:
processes, mounts, namespaces, control groups, packet filters, loop devices.
No server may be running on the directory. Disks stay, unless --data is given.`,
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
	c.Flags().BoolVar(&data, "data", false, "delete the data directory too, with all sandboxes, snapshots and keys")
	return c
}
