package gateway

import (
	"context"
	"net/http"
	"slices"

	"github.com/rs/cors"
)

// CrossOrigin says which pages of other origins may read answers (CORS). The
// zero value is none.
//
// Pages that may read without their browser's credentials learn no more than
// any program does that sends the same request. With credentials they act as
// whoever the browser belongs to, so that takes an origin that somebody trusts.
type CrossOrigin struct {
	// Origins are trusted: scheme://host[:port], or * for all, which then may
	// read without credentials only.
	Origins []string
}

// preflightAge is for how many seconds a browser need not ask again.
const preflightAge = 600

func policy(origins []string, credentials bool, exposed ...string) *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: origins, AllowCredentials: credentials, AllowPrivateNetwork: true, ExposedHeaders: exposed, MaxAge: preflightAge,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"*"},
	})
}

// trusted is the policy for Origins; nil for none.
func (c CrossOrigin) trusted(exposed ...string) *cors.Cors {
	if len(c.Origins) == 0 {
		return nil
	}
	return policy(c.Origins, !slices.Contains(c.Origins, "*"), exposed...)
}

// Handler lets the pages of Origins read what next answers.
func (c CrossOrigin) Handler(next http.Handler) http.Handler {
	trusted := c.trusted("Content-Disposition", "Content-Length", "Content-Range", "Retry-After", "X-Request-Id")
	if trusted == nil {
		return next
	}
	return trusted.Handler(next)
}

// disableCORS leaves all of it to the application, when it is "true".
const disableCORS = "X-Daytona-Disable-Cors"

// readers are who may read previews: trusted origins, and pages that anybody
// else wrote, without credentials.
type readers struct {
	trusted, anyone *cors.Cors
}

func (c CrossOrigin) readers() readers {
	return readers{c.trusted("*"), policy([]string{"*"}, false, "*")}
}

type readingKey struct{}

// remember notes with a request for a preview which headers let its page read
// the answer. ambient says that its browser's cookie let it in, of which the page
// need not know.
func (a readers) remember(r *http.Request, ambient bool) *http.Request {
	left := r.Header.Get(disableCORS) == "true"
	r.Header.Del(disableCORS)
	if left || r.Header.Get("Origin") == "" {
		return r
	}
	w := headersOnly{}
	switch {
	case a.trusted != nil && a.trusted.OriginAllowed(r):
		a.trusted.HandlerFunc(w, r)
	case !ambient:
		a.anyone.HandlerFunc(w, r)
	}
	return r.WithContext(context.WithValue(r.Context(), readingKey{}, http.Header(w)))
}

// reading are those headers.
func reading(r *http.Request) http.Header {
	h, _ := r.Context().Value(readingKey{}).(http.Header)
	return h
}

// isPreflight reports whether a browser asks whether a page may send a request.
// It brings no credentials.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// allowReading adds them to an application's answer, unless it says itself who
// may read it.
func allowReading(answer *http.Response) *http.Response {
	granted := reading(answer.Request)
	if len(granted) == 0 || answer.Header["Access-Control-Allow-Origin"] != nil || answer.StatusCode == http.StatusSwitchingProtocols {
		return answer
	}
	if !isPreflight(answer.Request) {
		addTo(answer.Header, granted)
		return answer
	}
	answer.Body.Close()
	return &http.Response{
		StatusCode: http.StatusNoContent, Proto: answer.Proto, ProtoMajor: answer.ProtoMajor, ProtoMinor: answer.ProtoMinor,
		Header: granted.Clone(), Body: http.NoBody, Request: answer.Request,
	}
}

func addTo(h, granted http.Header) {
	for name, values := range granted {
		if name == "Vary" {
			values = append(slices.Clone(h[name]), values...)
		}
		h[name] = slices.Clone(values)
	}
}

// headersOnly is a response that is never sent.
type headersOnly http.Header

func (h headersOnly) Header() http.Header       { return http.Header(h) }
func (headersOnly) Write(p []byte) (int, error) { return len(p), nil }
func (headersOnly) WriteHeader(int)             {}
