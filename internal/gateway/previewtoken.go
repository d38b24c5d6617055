package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/preview"
)

// How a request brings a preview's token, besides being for a signed URL.
const (
	tokenHeader       = "X-Daytona-Preview-Token"
	tokenQuery        = "DAYTONA_SANDBOX_AUTH_KEY"
	tokenCookiePrefix = "daytona-sandbox-auth-" // followed by the sandbox's id
)

// takeCredentials takes out of a request what is ours, which the application
// must not see, and returns it. Authorization may be the application's, and
// stays.
func takeCredentials(r *http.Request) (c preview.Credentials, byQuery string) {
	if token := r.Header.Get(tokenHeader); token != "" {
		c.Tokens = append(c.Tokens, token)
	}
	for _, ours := range []string{tokenHeader, "X-Daytona-Organization-Id"} {
		r.Header.Del(ours)
	}
	c.Bearer = httperror.BearerToken(r.Header.Get("Authorization"))
	c.Cookies = takeCookies(r.Header)
	if byQuery = takeQuery(r.URL); byQuery != "" {
		c.Tokens = append(c.Tokens, byQuery)
	}
	return c, byQuery
}

// takeCookies leaves the application's as they are, byte for byte.
func takeCookies(h http.Header) (tokens []string) {
	lines := h["Cookie"]
	h.Del("Cookie")
	for _, line := range lines {
		var kept []string
		for _, pair := range strings.Split(line, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.HasPrefix(name, tokenCookiePrefix) {
				tokens = append(tokens, value)
			} else {
				kept = append(kept, strings.TrimSpace(pair))
			}
		}
		if len(kept) > 0 {
			h.Add("Cookie", strings.Join(kept, "; "))
		}
	}
	return tokens
}

// takeQuery leaves the rest as it is, byte for byte.
func takeQuery(u *url.URL) (token string) {
	if !strings.Contains(u.RawQuery, tokenQuery+"=") {
		return ""
	}
	var kept []string
	for _, pair := range strings.Split(u.RawQuery, "&") {
		if name, value, _ := strings.Cut(pair, "="); name == tokenQuery {
			token, _ = url.QueryUnescape(value) // what is malformed is no token
		} else {
			kept = append(kept, pair)
		}
	}
	u.RawQuery = strings.Join(kept, "&")
	return token
}

// keepToken lets a browser that came with the token come again without.
func (p *Preview) keepToken(w http.ResponseWriter, r *http.Request, id, token string) {
	http.SetCookie(w, &http.Cookie{
		Name: tokenCookiePrefix + id, Value: token, Path: "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: p.scheme(r) == "https",
	})
}

// isNavigation reports whether a browser opens a page by the request.
func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == "" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// confineCookies keeps the cookies that an application sets to its own host: with
// a Domain they would come to other previews and to the server itself. It may
// not set ours.
func confineCookies(h http.Header) {
	lines := h["Set-Cookie"]
	h.Del("Set-Cookie")
	for _, line := range lines {
		parts := strings.Split(line, ";")
		if strings.HasPrefix(strings.TrimSpace(parts[0]), tokenCookiePrefix) {
			continue
		}
		kept := parts[:1]
		for _, attribute := range parts[1:] {
			name, _, _ := strings.Cut(attribute, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "Domain") {
				kept = append(kept, attribute)
			}
		}
		h.Add("Set-Cookie", strings.Join(kept, ";"))
	}
}
