package server

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/logging"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local"
)

// Command is `daytona server` with its subcommands.
func Command(version string) *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "Run a Daytona server on this machine",
		Long: `Run a Daytona server on this machine, as root.

Everything it keeps is in one data directory. The first start makes an
administrator with an API key, which it keeps for root in credentials.json there
(daytona env prints it), and the snapshots daytona-small, daytona-medium and
daytona-large. Sandboxes run on when the server ends; the next start finds them.

Every setting is a flag here, a variable (--data-dir is DAYTONA_DATA_DIR; lists
are separated by commas), and a key of the YAML file (data-dir: /srv/daytona).
Flags win over variables, which win over the file. An API key of your own choice
for the administrator is DAYTONA_ADMIN_API_KEY, or admin-api-key in the file.`,
		Example: `  daytona server check                      # what this machine lacks, if anything
  daytona server                            # for clients on this machine
  daytona server --listen :3986 --public-url https://daytona.example.com`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			return runServer(cmd, conf, version)
		},
	}
	config.AddFlags(c.PersistentFlags())
	c.Flags().SortFlags, c.PersistentFlags().SortFlags = false, false // in the order of settings
	c.AddCommand(checkCommand(version), purgeCommand(version), trustCommand(), imagesCommand(), organizationCommand(), quarantineCommand())
	return c
}

func runServer(cmd *cobra.Command, conf config.Config, version string) error {
	log := logging.New(cmd.ErrOrStderr(), conf.LogLevel, conf.JSONLog())
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	requirements := local.Check(ctx, engineOptions(conf, version))
	if err := fit(requirements); err != nil {
		return err
	}
	warn(requirements, log)
	s, err := newServer(ctx, conf, version, thisMachine(), log)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// untilSignal returns a context that the first SIGTERM or SIGINT ends. The
// second one ends the process.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
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
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return check(ctx, conf, version, cmd.OutOrStdout())
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
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return purge(ctx, conf, version, data, logging.New(cmd.ErrOrStderr(), conf.LogLevel, conf.JSONLog()))
		},
	}
	c.Flags().BoolVar(&data, "data", false, "delete the data directory too, with all sandboxes, snapshots and keys")
	return c
}
