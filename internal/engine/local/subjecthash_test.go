package local

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

// The links that OpenSSL itself made on this machine are the proof.
func TestSubjectsAreHashedAsOpenSSLDoes(t *testing.T) {
	links, err := filepath.Glob("/etc/ssl/certs/????????.[0-9]")
	if err != nil || len(links) < 20 {
		t.Fatalf("%d links, %v: install ca-certificates and openssl", len(links), err)
	}
	for _, link := range links {
		text, err := os.ReadFile(link)
		if err != nil {
			t.Fatal(err)
		}
		blocks := certificates(text)
		if len(blocks) != 1 {
			t.Fatalf("%s: %d certificates", link, len(blocks))
		}
		cert, err := x509.ParseCertificate(blocks[0].Bytes)
		if err != nil {
			continue // one with a fault that Go does not accept
		}
		if got, err := subjectHash(cert.RawSubject); err != nil || got != filepath.Base(link)[:8] {
			t.Errorf("%s, %s: %s, %v", link, cert.Subject, got, err)
		}
	}
}

func TestWhatIsNoSubjectHasNoHash(t *testing.T) {
	for _, subject := range []string{"", "\x30", "\x30\x03abc", "\x30\x84\xff\xff\xff\xff", "\x30\x05\x31\x03\x30\x01\x06"} {
		if hash, err := subjectHash([]byte(subject)); err == nil {
			t.Errorf("%q: %s", subject, hash)
		}
	}
}
