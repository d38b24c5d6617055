package objectstore

import (
	"encoding/xml"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Serves reports whether a request's path is one of the endpoint's.
func Serves(path string) bool { return path == "/"+Bucket || strings.HasPrefix(path, "/"+Bucket+"/") }

// queries are the parameters of the operations that uploads consist of: put,
// get, head, delete, list and multipart. All else of S3 is none of clients'.
var queries = []string{
	"x-id", "uploads", "uploadId", "partNumber", "list-type", "prefix", "delimiter", "max-keys", "continuation-token",
	"start-after", "encoding-type", "fetch-owner",
}

func (s *Store) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		// The host and the path are signed, so they stay as they came.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: r.In.Host, Path: r.In.URL.Path, RawPath: r.In.URL.RawPath, RawQuery: r.In.URL.RawQuery}
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DialContext: s.dial, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true, ExpectContinueTimeout: time.Second},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				s.Log.Error("context store", "err", err)
			}
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "The context store does not answer; try again.")
		},
	}
}

// ServeHTTP implements http.Handler: it lets an organization do what uploads
// need below its own prefix, and nothing else. The signature is checked behind.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g, err := s.claimsOf(r.Header.Get("X-Amz-Security-Token"))
	if err != nil {
		refuse(w, http.StatusForbidden, "ExpiredToken", "The session token is missing, not valid or expired: ask for credentials again.")
		return
	}
	own := g.OrganizationID + "/"
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains(queries, name) {
			refuse(w, http.StatusNotImplemented, "NotImplemented", "This endpoint takes uploads of build contexts only.")
			return
		}
	}
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+Bucket), "/")
	listing := key == "" && r.Method == http.MethodGet && strings.HasPrefix(query.Get("prefix"), own)
	inside := key == path.Clean(key) && strings.HasPrefix(key, own)
	switch {
	case !inside && !listing:
		refuse(w, http.StatusForbidden, "AccessDenied", "These credentials are for objects below "+own+" only.")
	case r.ContentLength > s.MaxSize:
		refuse(w, http.StatusBadRequest, "EntityTooLarge", "The upload is larger than a build context may be.")
	case r.Header.Get("X-Amz-Copy-Source") != "":
		refuse(w, http.StatusNotImplemented, "NotImplemented", "This endpoint does not copy.")
	default:
		r.Body = http.MaxBytesReader(w, r.Body, s.MaxSize)
		s.proxy.ServeHTTP(w, r)
	}
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
