package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
)

// linkOf is the preview of a port, with a key.
func (p *previewServer) linkOf(key, sandbox string, port int) (url, token string) {
	p.Helper()
	l := read[api.PortPreviewURL](p.T, p.ask(key, "GET", fmt.Sprintf("/sandbox/%s/ports/%d/preview-url", sandbox, port), nil, 200))
	return l.URL, l.Token
}

func TestPort2280OfASandboxIsItsToolbox(t *testing.T) {
	s := startPreviews(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "app "+r.URL.RequestURI()) })
	box, token := s.linkOf(s.creds.APIKey, "box", 2280)
	if want := "://2280-" + s.id + ".localhost:"; !strings.Contains(box, want) {
		t.Fatalf("it is at %s, not %s", box, want)
	}
	app, viewer := s.link("box")
	route := fmt.Sprintf("/port/%d/in-use", s.port)
	box += route
	stranger := s.stranger()
	lacking := s.keyOf("lacking", without(api.UseToolbox)...)
	for _, c := range []struct {
		what   string
		status int
		url    string
		header []string
	}{
		{"its token", 200, box, []string{previewToken, token}},
		{"its token by query", 200, box + "?DAYTONA_SANDBOX_AUTH_KEY=" + token, nil},
		{"a key that may use it", 200, box, []string{"Authorization", "Bearer " + s.creds.APIKey}},
		{"a key that may not", 403, box, []string{"Authorization", "Bearer " + lacking}},
		{"a stranger's key", 401, box, []string{"Authorization", "Bearer " + stranger}},
		{"nothing", 401, box, nil},
		{"nothing, in a browser", 401, box, []string{"Accept", "text/html"}},
		{"the token that shows another port", 401, box, []string{previewToken, viewer}},
		{"a cookie", 401, box, []string{"Cookie", "daytona-sandbox-auth-" + s.id + "=" + token}},
		{"no such route", 404, strings.TrimSuffix(box, route) + "/nothing", []string{previewToken, token}},
		{"the toolbox's token at another port", 200, app, []string{previewToken, token}},
		// The other address takes the token too, which WebSockets of pages bring.
		{"its token, there", 200, s.origin() + "/toolbox/" + s.id + route + "?DAYTONA_SANDBOX_AUTH_KEY=" + token, nil},
		{"its token as a header, there", 200, s.origin() + "/toolbox/" + s.id + route, []string{previewToken, token}},
		{"the token that shows another port, there", 401, s.origin() + "/toolbox/" + s.id + route, []string{previewToken, viewer}},
		{"a bad key beside it, there", 401, s.origin() + "/toolbox/" + s.id + route, []string{previewToken, token, "Authorization", "Bearer x"}},
	} {
		s.wants("with "+c.what, c.status, c.url, c.header...)
	}
	if status, text := s.get(box, previewToken, token); status != 200 || !strings.Contains(text, "isInUse") {
		t.Errorf("the toolbox says %d %s", status, text)
	}

	// Clients ask for the token by another port as well.
	if _, other := s.linkOf(s.creds.APIKey, "box", 1); other != token {
		t.Error("the link of port 1 does not open the toolbox")
	}
	if _, other := s.linkOf(lacking, "box", 1); other != viewer {
		t.Error("a key that may not use the toolbox got a token that opens it")
	}
	if text := s.ask(lacking, "GET", "/sandbox/box/ports/2280/preview-url", nil, 403); !strings.Contains(text, string(api.UseToolbox)) {
		t.Error(text)
	}
	s.ask(s.creds.APIKey, "GET", "/sandbox/box/ports/2280/signed-preview-url", nil, 400)
	signed, _ := s.sign("box", "")
	signed = strings.Replace(signed, fmt.Sprintf("//%d-", s.port), "//2280-", 1)
	s.wants("by another port's signed URL", 401, signed+route)

	// Public is for what people publish.
	s.call("POST", "/api/sandbox/box/public/true", "", 200)
	s.wants("the application", 200, app)
	s.wants("the toolbox of a public sandbox", 401, box)
	for _, port := range []string{"22222", "33333"} {
		s.wants("port "+port+" of a public sandbox", 401, strings.Replace(app, fmt.Sprintf("//%d-", s.port), "//"+port+"-", 1))
	}

	s.call("POST", "/api/sandbox/box/stop", "", 200)
	s.call("POST", "/api/sandbox/box/start", "", 200)
	s.wants("its token after a stop", 401, box, previewToken, token)
}
