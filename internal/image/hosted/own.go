package hosted

import (
	"net/http"

	"github.com/distribution/distribution/v3/registry/api/errcode"
)

// own replaces what the library says of its own failures: it tells the paths of
// its files. What it says is in its log.
type own struct {
	http.ResponseWriter
	begun, failed bool
}

// Unwrap is for http.ResponseController.
func (o *own) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (o *own) WriteHeader(status int) {
	if o.failed {
		return
	}
	o.begun = true
	// 507 is ours.
	if o.failed = status >= http.StatusInternalServerError && status != http.StatusInsufficientStorage; o.failed {
		o.Header().Del("Content-Length")
		refuse(o.ResponseWriter, errcode.ErrorCodeUnknown.WithMessage("the registry failed; the server's log tells why"))
		return
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (o *own) Write(p []byte) (int, error) {
	if !o.begun {
		o.WriteHeader(http.StatusOK)
	}
	if o.failed {
		return len(p), nil
	}
	return o.ResponseWriter.Write(p)
}
