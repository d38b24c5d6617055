package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// trustStores are where distributions keep the certificates that an
// administrator adds, and what makes programs see them.
var trustStores = []struct {
	dir    string
	update []string
}{
	{"/usr/local/share/ca-certificates", []string{"update-ca-certificates"}},
	{"/etc/pki/ca-trust/source/anchors", []string{"update-ca-trust"}},
	{"/etc/ca-certificates/trust-source/anchors", []string{"update-ca-trust"}},
}

// trustedName is the authority's file among the machine's trusted certificates.
func trustedName(cert *x509.Certificate) string {
	return "daytona-" + strings.ToLower(cert.SerialNumber.Text(16))[:12] + ".crt"
}

// Trust adds the authority to what the machine trusts, or removes it. It changes
// nothing when that is so already.
func (a *Authority) Trust(remove bool) error {
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
			err = os.WriteFile(path, a.PEM(), 0o644)
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
