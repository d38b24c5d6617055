package hosted

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/api/errcode"
)

const (
	prefix    = "/v2/"
	tokenPath = prefix + "token"
)

// Serves reports whether a request's path is one of the registry's.
func Serves(path string) bool { return path+"/" == prefix || strings.HasPrefix(path, prefix) }

// ServeHTTP implements http.Handler: the OCI distribution API, in which a
// caller has one project, and beside it the token endpoint of Docker's flow.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if q.URL.Path == tokenPath {
		r.token(w, q)
		return
	}
	c, reason := r.caller(q)
	if reason != "" {
		origin := r.Origin(q)
		_, host, _ := strings.Cut(origin, "://")
		w.Header().Set("Www-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q", origin+tokenPath, host))
		refuse(w, errcode.ErrorCodeUnauthorized.WithMessage(reason))
		return
	}
	if q.URL.Path+"/" == prefix || q.URL.Path == prefix {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}")) // to a client that may have gone
		return
	}
	if !strings.HasPrefix(q.URL.Path, prefix+c.OrganizationID+"/") {
		refuse(w, errcode.ErrorCodeDenied.WithMessage("these credentials are for repositories below "+c.OrganizationID+"/ only"))
		return
	}
	p, err := r.project(c.OrganizationID)
	if err != nil {
		r.Log.Error("open a project of the registry", "err", err)
		refuse(w, errcode.ErrorCodeUnavailable.WithMessage("the registry does not work; the server's log tells why"))
		return
	}
	r.serve(p, w, q)
}

// serve passes a request on, provided that there is room for what it brings.
func (r *Registry) serve(p *project, w http.ResponseWriter, q *http.Request) {
	// A chunk of an upload, and what is read of an open file, count on nothing
	// that a collection takes; and they may last.
	if q.Method != http.MethodPatch && q.Method != http.MethodGet {
		p.gate.RLock()
		defer p.gate.RUnlock()
		p.touch(q)
	}
	if q.Method == http.MethodHead {
		p.link(q)
	}
	w = &own{ResponseWriter: w}
	switch q.Method {
	case http.MethodPost, http.MethodPatch, http.MethodPut:
		r.receive(p, w, q)
	default:
		p.app.ServeHTTP(w, q)
	}
}

// token is Docker's token endpoint: a password against a token. The secret is
// both, so that a push which asks for tokens ends when its secret does.
func (r *Registry) token(w http.ResponseWriter, q *http.Request) {
	_, secret, ok := q.BasicAuth()
	if !ok && q.Method == http.MethodPost {
		q.Body = http.MaxBytesReader(w, q.Body, 64<<10)
		secret = q.PostFormValue("password")
		if q.PostFormValue("grant_type") == "refresh_token" {
			secret = q.PostFormValue("refresh_token")
		}
	}
	c, reason := r.claimsOf(q.Context(), secret)
	if reason != "" {
		refuse(w, errcode.ErrorCodeUnauthorized.WithMessage(reason))
		return
	}
	left := time.Until(c.Expires)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct { // to a client that may have gone
		Token       string    `json:"token"`
		AccessToken string    `json:"access_token"`
		ExpiresIn   int       `json:"expires_in"`
		IssuedAt    time.Time `json:"issued_at"`
	}{secret, secret, int(left.Seconds()), time.Now().UTC()})
}

// refuse answers in the form that clients print.
func refuse(w http.ResponseWriter, err errcode.Error) {
	_ = errcode.ServeJSON(w, err) // to a client that may have gone
}
