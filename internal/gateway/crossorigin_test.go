package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	page    = "https://page.example"
	trusted = "https://app.example"
)

// readable is what a browser makes of an answer: who may read it, and whether
// with the browser's credentials.
func readable(h http.Header) string {
	if c := h.Get("Access-Control-Allow-Credentials"); c != "" {
		return h.Get("Access-Control-Allow-Origin") + " with credentials"
	}
	return h.Get("Access-Control-Allow-Origin")
}

func preflight(origin string) []string {
	return []string{"Origin", origin, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-daytona-preview-token"}
}

func (w *web) send(method, url string, header ...string) (*http.Response, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return w.do(r)
}

func TestPagesOfOtherOriginsReadPreviewsWithoutTheirBrowsersCredentials(t *testing.T) {
	w := newWeb(t, nil)
	w.proxy.readers = CrossOrigin{Origins: []string{trusted}}.readers()
	asked := make(chan string, 100)
	n := app(t, "127.0.0.1:0", func(rw http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Header.Get("X-Daytona-Disable-Cors")
		if r.Method == "OPTIONS" {
			rw.WriteHeader(http.StatusMethodNotAllowed)
		}
		fmt.Fprint(rw, "app")
	})
	url := "http://" + w.host(n, box)
	cookie := tokenCookiePrefix + box + "=open"
	for what, c := range map[string]struct {
		header []string
		want   string
	}{
		"a token":                              {[]string{"Origin", page, tokenHeader, "open"}, "*"},
		"a key":                                {[]string{"Origin", page, "Authorization", "Bearer key"}, "*"},
		"the browser's cookie":                 {[]string{"Origin", page, "Cookie", cookie}, ""},
		"the browser's cookie, and wrong else": {[]string{"Origin", page, "Cookie", cookie, tokenHeader, "wrong"}, ""},
		"no origin":                            {[]string{tokenHeader, "open"}, ""},
		"the application's own rule":           {[]string{"Origin", page, tokenHeader, "open", "X-Daytona-Disable-CORS", "true"}, ""},
		"a trusted page's token":               {[]string{"Origin", trusted, tokenHeader, "open"}, trusted + " with credentials"},
		"a trusted page's cookie":              {[]string{"Origin", trusted, "Cookie", cookie}, trusted + " with credentials"},
	} {
		res, text := w.send("GET", url, c.header...)
		if got := readable(res.Header); res.StatusCode != 200 || text != "app" || got != c.want {
			t.Errorf("with %s: %d %q is readable to %q, want %q", what, res.StatusCode, text, got, c.want)
		}
		if got := <-asked; got != "GET " {
			t.Errorf("with %s the application saw %q", what, got)
		}
	}

	// A browser asks first, and brings nothing that would let it in.
	for origin, want := range map[string]string{page: "*", trusted: trusted + " with credentials"} {
		for what, at := range map[string]string{"a private one": url, "none there is": "http://" + w.host(n, strings.Replace(box, "f", "e", 1))} {
			res, text := w.send("OPTIONS", at, preflight(origin)...)
			if res.StatusCode != 204 || text != "" || readable(res.Header) != want || res.Header.Get("Access-Control-Allow-Headers") != "x-daytona-preview-token" || res.Header.Get("Access-Control-Allow-Methods") != "PUT" {
				t.Errorf("before the request to %s: %d %v", what, res.StatusCode, res.Header)
			}
		}
		// One that is let in answers itself; what it does not say is said for it.
		res, text := w.send("OPTIONS", url+"?DAYTONA_SANDBOX_AUTH_KEY=open", preflight(origin)...)
		if res.StatusCode != 204 || text != "" || readable(res.Header) != want {
			t.Errorf("of an application that knows no OPTIONS: %d %q %v", res.StatusCode, text, res.Header)
		}
	}
	if len(asked) != 2 {
		t.Errorf("the application saw %d requests of browsers that asked first, not 2", len(asked))
	}
	// A page that may not come in may read why.
	if res, text := w.send("GET", url, "Origin", page); res.StatusCode != 401 || readable(res.Header) != "*" || !strings.Contains(text, "Bring a token") {
		t.Errorf("refused: %d %q %v", res.StatusCode, text, res.Header)
	}
}

func TestAnApplicationSaysItselfWhoMayReadIt(t *testing.T) {
	w := newWeb(t, nil)
	n := app(t, "127.0.0.1:0", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "https://friend.example")
		rw.Header().Set("Vary", "Accept")
	})
	for _, method := range []string{"GET", "OPTIONS"} {
		header := append(preflight(page), tokenHeader, "open")
		if method == "GET" {
			header = []string{"Origin", page, tokenHeader, "open"}
		}
		res, _ := w.send(method, "http://"+w.host(n, box), header...)
		if got := readable(res.Header); res.StatusCode != 200 || got != "https://friend.example" || res.Header.Get("Vary") != "Accept" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
	}
}

func TestAllElseIsForTrustedPagesOnly(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for name, c := range map[string]struct {
		origins         []string
		fromPage, fromT string
	}{
		"none":         {nil, "", ""},
		"one origin":   {[]string{trusted}, "", trusted + " with credentials"},
		"every origin": {[]string{"*"}, "*", "*"},
	} {
		handler := CrossOrigin{Origins: c.origins}.Handler(next)
		for origin, want := range map[string]string{page: c.fromPage, trusted: c.fromT, "": ""} {
			r := httptest.NewRequestWithContext(t.Context(), "OPTIONS", "/toolbox/box/version", nil)
			for i, h := 0, preflight(origin); i < len(h); i += 2 {
				r.Header.Set(h[i], h[i+1])
			}
			status := http.StatusTeapot
			if c.origins != nil {
				status = http.StatusNoContent
			}
			w := httptest.NewRecorder()
			if handler.ServeHTTP(w, r); w.Code != status || readable(w.Header()) != want {
				t.Errorf("%s, %q asks first: %d %v", name, origin, w.Code, w.Header())
			}
			r.Method = "POST"
			w = httptest.NewRecorder()
			if handler.ServeHTTP(w, r); w.Code != http.StatusTeapot || readable(w.Header()) != want {
				t.Errorf("%s, %q asks: %d %v", name, origin, w.Code, w.Header())
			}
		}
	}
}
