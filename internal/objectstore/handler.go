package objectstore

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// Serves reports whether a request's path is one of the endpoint's.
func Serves(path string) bool { return path == "/"+Bucket || strings.HasPrefix(path, "/"+Bucket+"/") }

func (s *Store) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		// The host and the path are signed, so they stay as they came.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: r.In.Host, Path: r.In.URL.Path, RawPath: r.In.URL.RawPath, RawQuery: r.In.URL.RawQuery}
			r.Out.Host = r.In.Host
		},
		Transport:      &http.Transport{DialContext: s.endpoint.dial, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true, ExpectContinueTimeout: time.Second},
		ModifyResponse: s.keep,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.As(err, new(*http.MaxBytesError)) {
				refuseTooLarge(w)
				return
			}
			if ended := fault.Ended(r.Context()); ended != nil {
				s.refuseKey(w, ended)
				return
			}
			if r.Context().Err() == nil {
				s.Log.Error("context store", "err", err)
			}
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "The context store does not answer; try again.")
		},
	}
}

// ServeHTTP implements http.Handler: it lets an organization do what uploads
// need below its own prefix, and nothing else (request.go). The signature is
// checked behind.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g, err := s.claimsOf(r.Header.Get("X-Amz-Security-Token"))
	if err != nil {
		refuse(w, http.StatusForbidden, "ExpiredToken", "The session token is missing, not valid or expired: ask for credentials again.")
		return
	}
	if err := s.Continue(r.Context(), g.KeyHash); err != nil {
		s.refuseKey(w, err)
		return
	}
	q, no := parse(r, g.OrganizationID)
	if no != nil {
		refuse(w, no.status, no.code, no.message)
		return
	}
	most := q.maxBody
	if q.upload {
		most = s.MaxSize
	}
	if r.ContentLength > most {
		refuseTooLarge(w)
		return
	}
	r.URL.RawQuery = q.query.Encode() // what was read, whatever there was to read in it
	r.Body = http.MaxBytesReader(w, r.Body, most)
	s.proxy.ServeHTTP(w, r)
}

// refuseKey answers for credentials whose API key is not good any more.
func (s *Store) refuseKey(w http.ResponseWriter, err error) {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		refuse(w, http.StatusForbidden, "ExpiredToken", f.Message)
		return
	}
	s.Log.Error("look at the key of an upload", "err", err)
	refuse(w, http.StatusInternalServerError, "InternalError", "The context store failed; the server's log tells why.")
}

func refuseTooLarge(w http.ResponseWriter) {
	refuse(w, http.StatusBadRequest, "EntityTooLarge", "The upload is larger than a build context may be.")
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
}
