package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

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
			config, err := load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			a, err := openAuthority(filepath.Join(config.DataDir, tlsName))
			if err != nil {
				return err
			}
			return a.trust(remove)
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "take it away again")
	return c
}

// trust adds the authority to what the machine trusts, or removes it. It changes
// nothing when that is so already.
func (a *authority) trust(remove bool) error {
	for _, store := range trustStores {
		if _, err := os.Stat(store.dir); err != nil {
			continue
		}
		path := filepath.Join(store.dir, trustedName(a.cert))
		_, err := os.Stat(path)
		switch there := err == nil; {
		case there != remove:
			return nil
		case remove:
			err = os.Remove(path)
		case errors.Is(err, fs.ErrNotExist):
			err = os.WriteFile(path, a.pem(), 0o644)
		}
		if err != nil {
			return fmt.Errorf("trust the server's certificate: %w", err)
		}
		if out, err := exec.Command(store.update[0], store.update[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("trust the server's certificate: %s: %w: %s", store.update[0], err, out)
		}
		return nil
	}
	if remove {
		return nil
	}
	return errors.New("trust the server's certificate: this machine has no known place for trusted certificates; install ca-certificates")
}
