package local

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/image"
)

// authority is a new one of that name, in PEM.
func authority(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"The Company"}}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// trusting is a root filesystem to which an engine has added certificates.
func trusting(t *testing.T, extra []byte, files map[string]string, links map[string]string, pristine bool) (root, bundled string) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(root+path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range links {
		if err := os.MkdirAll(filepath.Dir(root+path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, root+path); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{trustDir, guestDir} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := &Local{Options: Options{ExtraCA: extra}, dir: dir}
	if err := l.trust(&bundle{image: &image.Image{Digest: "sha256:1"}, dir: dir}, guest{root: f}, pristine); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, guestDir, "ca-certificates.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return root, string(text)
}

func TestAddedCertificatesAreInTheImagesOwnStore(t *testing.T) {
	known, added := authority(t, "known"), authority(t, "added")
	extra := bytes.Join([][]byte{known, added, added}, nil)
	want := string(known) + string(added)
	for name, c := range map[string]struct {
		files, links map[string]string
		bundle       string // that the image's programs read
		anchors      []string
		openssl      bool // finds it by its hash
	}{
		"Debian": {
			map[string]string{"/etc/ssl/certs/ca-certificates.crt": string(known), "/usr/local/share/ca-certificates/.keep": ""}, nil,
			"/etc/ssl/certs/ca-certificates.crt", []string{"/usr/local/share/ca-certificates"}, true,
		},
		"Alpine": {
			map[string]string{"/etc/ssl/certs/ca-certificates.crt": string(known), "/usr/local/share/.keep": ""}, map[string]string{"/etc/ssl/cert.pem": "certs/ca-certificates.crt"},
			"/etc/ssl/cert.pem", []string{"/usr/local/share/ca-certificates"}, true,
		},
		"Fedora": {
			map[string]string{"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": string(known), "/etc/pki/ca-trust/source/anchors/.keep": "", "/etc/pki/tls/certs/.keep": "", "/usr/local/share/.keep": ""},
			map[string]string{"/etc/pki/tls/certs/ca-bundle.crt": "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/certs": "../pki/tls/certs"},
			"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", []string{"/etc/pki/ca-trust/source/anchors"}, true,
		},
		"one without a store":  {map[string]string{"/usr/local/share/.keep": ""}, nil, "", []string{"/usr/local/share/ca-certificates"}, false},
		"one without anything": {map[string]string{"/bin/program": ""}, nil, "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			root, bundled := trusting(t, extra, c.files, c.links, true)
			if c.bundle != "" {
				inside, _ := os.Readlink(root + c.bundle)
				text, err := os.ReadFile(root + filepath.Join("/", map[bool]string{true: filepath.Join(filepath.Dir(c.bundle), inside), false: c.bundle}[inside != ""]))
				if err != nil || string(text) != want || bundled != want {
					t.Errorf("%v\nstore:\n%s\nbeside:\n%s\nwant:\n%s", err, text, bundled, want)
				}
			}
			for link, target := range c.links {
				if now, err := os.Readlink(root + link); err != nil || now != target {
					t.Errorf("%s leads to %q now, %v", link, now, err)
				}
			}
			for _, dir := range c.anchors {
				found, _ := filepath.Glob(root + dir + "/daytona-*.crt")
				if c.bundle == "" && len(found) == 2 {
					continue // it knows none of them
				}
				if c.bundle == "" || len(found) != 1 {
					t.Fatalf("anchors in %s: %v", dir, found)
				}
				if text, err := os.ReadFile(found[0]); err != nil || string(text) != string(added) {
					t.Errorf("%v %s", err, text)
				}
			}
			if !c.openssl {
				return
			}
			// OpenSSL would look for it below the root's own name.
			certs := root + "/etc/ssl/certs"
			if name == "Fedora" {
				certs = root + "/etc/pki/tls/certs"
			}
			hashed, _ := filepath.Glob(certs + "/????????.0")
			if len(hashed) != 1 {
				t.Fatalf("links: %v", hashed)
			}
			target, err := os.Readlink(hashed[0])
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("openssl", "x509", "-noout", "-subject_hash", "-in", root+target).CombinedOutput()
			if err != nil || string(out) != filepath.Base(hashed[0])[:8]+"\n" {
				t.Errorf("%s: %s, %v", hashed[0], out, err)
			}
		})
	}
}

func TestAUsedDiskKeepsItsOwnStore(t *testing.T) {
	const path = "/etc/ssl/certs/ca-certificates.crt"
	root, bundled := trusting(t, authority(t, "added"), map[string]string{path: "its owner's\n", "/usr/local/share/ca-certificates/.keep": ""}, nil, false)
	text, err := os.ReadFile(root + path)
	if err != nil || string(text) != "its owner's\n" || len(bundled) < 100 {
		t.Errorf("%s, %v; beside it %q", text, err, bundled)
	}
	if found, _ := filepath.Glob(root + anchorDir + "/*.crt"); len(found) > 0 {
		t.Errorf("added %v", found)
	}
}

func TestManyCertificatesAreOneFile(t *testing.T) {
	var extra []byte
	for i := range mostAnchors + 1 {
		extra = append(extra, authority(t, string(rune('A'+i)))...)
	}
	root, _ := trusting(t, extra, map[string]string{"/etc/ssl/certs/ca-certificates.crt": "", "/usr/local/share/.keep": ""}, nil, true)
	text, err := os.ReadFile(root + anchorDir + "/daytona.crt")
	if err != nil || string(text) != string(extra) {
		t.Errorf("%d bytes of %d, %v", len(text), len(extra), err)
	}
}
