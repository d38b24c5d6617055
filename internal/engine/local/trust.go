package local

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// caVariables are what programs read for the place of the trusted certificates:
// OpenSSL and Go, requests, pip, Node, curl, git.
var caVariables = []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"}

// bundles are where distributions keep the trusted certificates in one file.
var bundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"}

const (
	// hashedDir is where OpenSSL looks for certificates by the hash of their subject.
	hashedDir = "/etc/ssl/certs"
	// anchorDir is what update-ca-certificates adds to the distribution's.
	anchorDir = "/usr/local/share/ca-certificates"
	// mostAnchors is up to how many certificates get a file and a name of their own.
	mostAnchors = 32
)

// otherAnchors are the same for Fedora, openSUSE and Arch Linux.
var otherAnchors = []string{"/etc/pki/ca-trust/source/anchors", "/etc/pki/trust/anchors", "/etc/ca-certificates/trust-source/anchors"}

// anchor is a certificate that an image does not trust by itself.
type anchor struct {
	pem  []byte
	name string // of its file
	hash string // of its subject, as OpenSSL names its link
}

// trusts remembers what there is to add to each image.
type trusts struct {
	mu      sync.Mutex
	missing map[string][]anchor // by the digest
}

// trust gives the sandbox the certificates that its image trusts, or else this
// machine does, and the added ones: as a file that variables name, and for
// programs without those, as under sudo and cron, in the image's own store on
// the sandbox's disk. Sandboxes of an image share the file, which is made of what
// a pristine root has: a used one holds what its owner likes.
func (l *Local) trust(b *bundle, g guest, pristine bool) error {
	shared := filepath.Join(l.dir, trustDir, strings.ReplaceAll(b.image.Digest, ":", "-"))
	target := filepath.Join(b.dir, guestDir, filepath.Base(boot.CABundle))
	err := os.Link(shared, target)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && !pristine {
		return nil
	}
	own := g.read(bundles...)
	base := own
	if base == nil {
		base = readFirst(bundles)
	}
	missing := l.missing(b.image.Digest, own, pristine)
	added := l.ExtraCA
	if own != nil && len(missing) > 0 {
		added = nil
		for _, a := range missing {
			added = append(added, a.pem...)
		}
	}
	text := append(append(bytes.TrimRight(base, "\n"), '\n'), added...)
	if err != nil {
		if err := os.WriteFile(target, text, 0o644); err != nil {
			return err
		}
		if pristine {
			if err := os.Link(target, shared); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
	}
	if !pristine {
		return nil
	}
	if own != nil {
		if err := g.writeBundles(string(text)); err != nil {
			return err
		}
	}
	return g.addAnchors(missing)
}

// missing are the added certificates that are not in the image's bundle, which
// may be none. They are looked for once.
func (l *Local) missing(digest string, own []byte, pristine bool) []anchor {
	l.trusts.mu.Lock()
	defer l.trusts.mu.Unlock()
	if known, ok := l.trusts.missing[digest]; ok && pristine {
		return known
	}
	there := map[[sha256.Size]byte]bool{}
	for _, block := range certificates(own) {
		there[sha256.Sum256(block.Bytes)] = true
	}
	var missing []anchor
	for _, block := range certificates(l.ExtraCA) {
		sum := sha256.Sum256(block.Bytes)
		cert, err := x509.ParseCertificate(block.Bytes)
		if there[sum] || err != nil {
			continue
		}
		there[sum] = true
		a := anchor{pem: pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}), name: fmt.Sprintf("daytona-%x.crt", sum[:8])}
		a.hash, _ = subjectHash(cert.RawSubject) // without it OpenSSL finds it in bundles only
		missing = append(missing, a)
	}
	if pristine {
		if l.trusts.missing == nil {
			l.trusts.missing = map[string][]anchor{}
		}
		l.trusts.missing[digest] = missing
	}
	return missing
}

func certificates(text []byte) (all []*pem.Block) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			all = append(all, block)
		}
	}
}

// writeBundles puts text in place of every bundle that there is, and leaves links
// to them.
func (g guest) writeBundles(text string) error {
	done := map[string]bool{}
	for _, path := range bundles {
		f, err := g.open(path, unix.O_PATH)
		if err != nil {
			continue
		}
		path, err := g.pathOf(f)
		info, serr := f.Stat()
		f.Close()
		if err = errors.Join(err, serr); err != nil {
			return err
		}
		if done[path] || !info.Mode().IsRegular() {
			continue
		}
		done[path] = true
		if err := g.write(path, text); err != nil {
			return err
		}
	}
	return nil
}

// pathOf is where an opened file of the root is in it, without links.
func (g guest) pathOf(f *os.File) (string, error) {
	root, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", g.root.Fd()))
	if err != nil {
		return "", err
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(path, root), nil
}

// addAnchors adds certificates where the distribution's own programs look for
// those that an administrator adds, and where OpenSSL does.
func (g guest) addAnchors(all []anchor) error {
	if len(all) == 0 {
		return nil
	}
	if len(all) > mostAnchors {
		together := anchor{name: "daytona.crt"}
		for _, a := range all {
			together.pem = append(together.pem, a.pem...)
		}
		all = []anchor{together}
	}
	dirs := []string{anchorDir}
	for _, path := range otherAnchors {
		if dir, err := g.open(path, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			dir.Close()
			dirs = append(dirs, path)
		}
	}
	for _, dir := range dirs {
		for _, a := range all {
			if err := g.write(filepath.Join(dir, a.name), string(a.pem)); err != nil {
				return err
			}
		}
	}
	return g.linkAnchors(all)
}

// linkAnchors names certificates by the hash of their subject, and those that
// have the same by a number (openssl-rehash(1)).
func (g guest) linkAnchors(all []anchor) error {
	const most = 10
	dir, err := g.open(hashedDir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil // OpenSSL has nothing there
	}
	defer dir.Close()
	for _, a := range all {
		if a.hash == "" {
			continue
		}
		for n := range most {
			name := fmt.Sprintf("%s.%d", a.hash, n)
			err := unix.Symlinkat(filepath.Join(anchorDir, a.name), int(dir.Fd()), name)
			if errors.Is(err, unix.EEXIST) {
				continue
			}
			if err == nil {
				err = unix.Fchownat(int(dir.Fd()), name, g.owner, g.owner, unix.AT_SYMLINK_NOFOLLOW)
			}
			if err := tolerate(filepath.Join(hashedDir, name), err); err != nil {
				return err
			}
			break
		}
	}
	return nil
}
