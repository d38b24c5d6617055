package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sys/unix"
)

// asked is a host that a pull sends requests to, which is not always the one that
// the image's reference names: errors say which it is, and why it was asked.
type asked struct {
	host     string
	registry string // as references name it
	role     role
}

type role int

const (
	itself     role = iota // the registry
	mirror                 // what the configuration puts in its place
	realm                  // the token server that it names
	redirected             // where it sends its clients for blobs
)

func (a asked) String() string {
	switch a.role {
	case mirror:
		return fmt.Sprintf("%s, the mirror of %s in the server's configuration,", a.host, a.registry)
	case realm:
		return fmt.Sprintf("%s, the token server that registry %s names,", a.host, a.registry)
	case redirected:
		return fmt.Sprintf("%s, to which registry %s redirects,", a.host, a.registry)
	}
	if a.host == a.registry {
		return "registry " + a.registry
	}
	return fmt.Sprintf("registry %s, which is at %s,", a.registry, a.host)
}

// tell adds to what a request came to whom it was sent to.
func (s *Store) tell(to asked, r *http.Request, res *http.Response, err error) (*http.Response, error) {
	var known *hostError
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return res, err
	}
	var proxy *url.URL
	if s.transport.Proxy != nil {
		proxy, _ = s.transport.Proxy(r) // one that cannot be told is the request's error
	}
	if err != nil {
		return res, &hostError{to, proxy, err}
	}
	res.Body = &toldBody{res.Body, func(err error) error { return &hostError{to, proxy, err} }}
	return res, nil
}

type toldBody struct {
	io.ReadCloser
	tell func(error) error
}

func (b *toldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		err = b.tell(err)
	}
	return n, err
}

// hostError is a request that was not answered, or not to the end.
type hostError struct {
	asked
	proxy *url.URL // through which it was to be asked; nil for none
	err   error
}

func (e *hostError) Error() string {
	what, do := e.why()
	return fmt.Sprintf("%v %s: %s", e.asked, what, do)
}

func (e *hostError) Unwrap() error { return e.err }

const checkNetwork = "check the server's network"

// why says what failed, and what to do.
func (e *hostError) why() (what, do string) {
	if what, do = e.proxyFailed(); what != "" {
		return what, do
	}
	if what, do = e.distrusted(); what != "" {
		return what, do
	}
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(e.err, &dns) && dns.IsNotFound:
		do = "check the server's name resolution (DNS) and network"
		switch e.role {
		case itself:
			if e.host == e.registry {
				do = "check the host in the image's name, and the server's name resolution (DNS)"
			}
		case mirror:
			do = "check --mirror, and the server's name resolution (DNS)"
		}
		return "has a name that cannot be resolved (" + dns.Error() + ")", do
	case errors.As(e.err, &dns):
		return "was not asked, since the server's name resolution does not work (" + dns.Error() + ")", "check the server's DNS and network"
	case errors.Is(e.err, errStalled):
		return "stopped sending", "try again later, or " + checkNetwork
	case errors.Is(e.err, unix.ECONNREFUSED):
		return "refuses connections (" + root(e.err).Error() + ")", "check the port in its name, and whether it runs"
	case errors.Is(e.err, unix.ENETUNREACH), errors.Is(e.err, unix.EHOSTUNREACH):
		return "is not where the server's network leads (" + root(e.err).Error() + ")", checkNetwork + " and whether it needs a proxy (HTTPS_PROXY)"
	case errors.As(e.err, &timeout) && timeout.Timeout():
		return "did not answer in time (" + root(e.err).Error() + ")", checkNetwork + " and whether it needs a proxy (HTTPS_PROXY)"
	case errors.Is(e.err, unix.ECONNRESET), errors.Is(e.err, io.EOF), errors.Is(e.err, io.ErrUnexpectedEOF):
		return "closed the connection (" + root(e.err).Error() + ")", "try again later, or " + checkNetwork + " and what filters it"
	}
	return "cannot be reached (" + root(e.err).Error() + ")", checkNetwork
}

// proxyFailed is for what goes wrong on the way to the host.
func (e *hostError) proxyFailed() (what, do string) {
	if e.proxy == nil {
		return "", ""
	}
	const check = "check HTTPS_PROXY and NO_PROXY of the server, and what the proxy allows"
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(e.err, &op) && op.Op == "proxyconnect":
		return fmt.Sprintf("was not asked, since the proxy %s cannot be reached (%v)", e.proxy.Redacted(), root(op.Err)), check
	case errors.As(e.err, &certificate), errors.As(e.err, &op), errors.Is(e.err, errStalled), errors.Is(e.err, io.EOF), errors.Is(e.err, io.ErrUnexpectedEOF):
		return "", ""
	}
	return fmt.Sprintf("cannot be reached through the proxy %s (%v)", e.proxy.Redacted(), root(e.err)), check
}

// distrusted is for what goes wrong with TLS.
func (e *hostError) distrusted() (what, do string) {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(e.err, &unknown):
		do = "start the server with --extra-ca FILE, which has that authority's certificate"
		if e.proxy != nil {
			do += "; the proxy " + e.proxy.Redacted() + " may have put it in the place of the host's own"
		}
		return "has a certificate of an authority that the server does not trust", do
	case errors.As(e.err, &name):
		return "has a certificate for other names (" + name.Error() + ")", "check the host's name, or have the certificate renewed for it"
	case errors.As(e.err, &invalid) && invalid.Reason == x509.Expired:
		return "has a certificate that is not valid now (" + invalid.Detail + ")", "have it renewed, or set the server's clock"
	case errors.As(e.err, &certificate):
		return "has a certificate that does not hold (" + root(e.err).Error() + ")", "have it renewed"
	case errors.As(e.err, &record), strings.Contains(e.err.Error(), "server gave HTTP response to HTTPS client"):
		return "does not speak TLS", "if it is one of your own, name it by --plain-http " + e.host
	}
	return "", ""
}

// untrusted reports whether asking again is of no use, since the host will not be
// trusted then either.
func (e *hostError) untrusted() bool {
	what, _ := e.distrusted()
	return what != ""
}
