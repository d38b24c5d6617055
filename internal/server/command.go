package server

import (
	"os"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/logging"
	"github.com/opendaytona/daytona/internal/machine"
	"github.com/opendaytona/daytona/internal/servercmd"

	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/internal/engine/local"
)

// Command returns `daytona server` with its subcommands.
func Command(version string) *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "Run a Daytona server on this machine",
		Long: `Run a Daytona server on this machine, as root.

The server stores everything in one data directory. The first start creates an
administrator with an API key, stored in credentials.json there and readable only by
root (daytona env prints it), and the snapshots daytona-small, daytona-medium and
daytona-large. Sandboxes keep running when the server stops; the next start takes them
over.

Every setting is a flag, an environment variable (--data-dir is DAYTONA_DATA_DIR;
separate lists with commas) and a key in the YAML file (data-dir: /srv/daytona). Flags
take precedence over variables, and variables over the file. To choose the
administrator's API key, set DAYTONA_ADMIN_API_KEY, or admin-api-key in the file.`,
		Example: `  daytona server check                      # check this machine
  daytona server                            # serve clients on this machine
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
	c.AddCommand(servercmd.Commands(version)...)
	return c
}

func runServer(cmd *cobra.Command, conf config.Config, version string) error {
	log := logging.New(cmd.ErrOrStderr(), conf.LogLevel, conf.JSONLog())
	ctx, stop := servercmd.UntilSignal(cmd.Context())
	defer stop()
	requirements := local.Check(ctx, machine.Options(conf, version))
	if err := machine.Fit(requirements); err != nil {
		return err
	}
	machine.Warn(requirements, log)
	s, err := newServer(conf, version, thisHost(), log)
	if err != nil {
		return err
	}
	return s.run(ctx)
}
