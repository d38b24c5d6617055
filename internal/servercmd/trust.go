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
		Short: "Let programs on this machine trust the server's certificate",
		Long: `Let programs on this machine trust the server's certificate.

The server answers with TLS at the same address as without, with certificates
for this machine's names and private addresses that it signs itself. The official
Python SDK uploads the files of an Image by TLS only, and trusts what the
machine does: this adds the server's certificate to that. Behind a proxy with a
certificate of its own (--public-url https://…) it is not needed.`,
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
	c.Flags().BoolVar(&remove, "remove", false, "take it away again")
	return c
}
