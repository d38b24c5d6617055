package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// ExtraCASystem is the setting that trusts what this machine does.
const ExtraCASystem = "system"

// systemBundles are where distributions keep the certificates they trust:
// Debian, Ubuntu, Arch; Fedora, RHEL; SUSE; Alpine.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// ExtraCA reads the certificates that sandboxes trust besides those of their
// image: a file's, this machine's, or none.
func ExtraCA(setting string) ([]byte, error) {
	path := setting
	switch setting {
	case "":
		return nil, nil
	case ExtraCASystem:
		path = os.Getenv("SSL_CERT_FILE")
		for _, bundle := range systemBundles {
			if _, err := os.Stat(bundle); path == "" && err == nil {
				path = bundle
			}
		}
		if path == "" {
			return nil, fmt.Errorf("setting extra-ca: system: this machine has no bundle of certificates; install ca-certificates, or name a PEM file")
		}
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("setting extra-ca: %w; use the path of a PEM file, or system", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("setting extra-ca: %s has no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path)
	}
	return pem, nil
}

// Transport speaks to registries, trusting the extra certificates
// besides those of this machine.
func Transport(extra []byte) (*http.Transport, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read this machine's certificates: %w", err)
	}
	pool.AppendCertsFromPEM(extra)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
	}, nil
}
