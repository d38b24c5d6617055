package gateway

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/httperror"
)

// refuse answers with a page for people and the error envelope for programs.
func (p *Preview) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := envelope(r, err, p.Log)
	addTo(w.Header(), reading(r))
	w.Header().Set("Cache-Control", "no-store")
	if e.StatusCode == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Daytona preview"`) // RFC 9110, section 11.6.1
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		httperror.Write(w, e, r.URL.Path)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.WriteHeader(e.StatusCode)
	_ = refusalPage.Execute(w, e) // to a client that may have gone
}

var refusalPage = template.Must(template.New("refusal").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Err}}</title>
<style>body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; color-scheme: light dark }
 code { font: 0.95em ui-monospace, monospace }</style></head><body>
<h1>{{.Err}}</h1>
<p>{{.Message}}</p>
<p><code>{{.StatusCode}} {{.Code}}</code></p>
</body></html>
`))
