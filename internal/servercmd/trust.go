package servercmd

import (
	"os"
	"path/filepath"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/pki"

	"github.com/spf13/cobra"
)

func trustCommand() *cobra.Command {
	var remove bool
	c := &cobra.Command{
		Use:   "trust",
		Short: "Make this machine trust the server's certificate",
		Long: `Add the server's certificate authority to those that this machine trusts.

The server accepts TLS on the same port as plain HTTP, with certificates for this
machine's names and private addresses that its own authority signs. The official
Python SDK uploads the files of an Image only over TLS, and trusts the authorities that
the machine trusts. This command is not needed behind a proxy with its own certificate
(--public-url https://…).`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			a, err := pki.OpenAuthority(filepath.Join(conf.DataDir, config.TLSName))
			if err != nil {
				return err
			}
			return a.Trust(remove)
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "remove the certificate authority again")
	return c
}
