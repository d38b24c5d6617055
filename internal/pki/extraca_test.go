package pki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExtraCertificatesAreReadOrRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, says := range map[string]string{empty: "no certificate in PEM form", empty + ".not": "no such file"} {
		if _, err := ExtraCA(setting); err == nil || !strings.Contains(err.Error(), "extra-ca") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if pem, err := ExtraCA(ExtraCASystem); err != nil || !strings.Contains(string(pem), "BEGIN CERTIFICATE") {
		t.Errorf("this machine's: %d bytes, %v", len(pem), err)
	}
}
