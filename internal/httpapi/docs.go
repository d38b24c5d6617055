package httpapi

import "html/template"

// docsPage renders an OpenAPI document without scripts, so that it works on a
// machine without the internet.
var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Info.Title}} API</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
 code { font: 0.95em ui-monospace, monospace } dt { margin-top: .6rem } dd { margin-left: 2rem; opacity: .85 }
</style></head><body>
<h1>{{.Info.Title}} API {{.Info.Version}}</h1>
<p>{{.Info.Description}} The machine-readable description is <a href="openapi.json">openapi.json</a>.
Send your API key as <code>Authorization: Bearer KEY</code>.</p>
<dl>{{range $path, $item := .Paths}}
{{with $item.Get}}<dt><code>GET /api{{$path}}</code></dt><dd>{{.Summary}}</dd>{{end}}
{{with $item.Post}}<dt><code>POST /api{{$path}}</code></dt><dd>{{.Summary}}</dd>{{end}}
{{with $item.Put}}<dt><code>PUT /api{{$path}}</code></dt><dd>{{.Summary}}</dd>{{end}}
{{with $item.Patch}}<dt><code>PATCH /api{{$path}}</code></dt><dd>{{.Summary}}</dd>{{end}}
{{with $item.Delete}}<dt><code>DELETE /api{{$path}}</code></dt><dd>{{.Summary}}</dd>{{end}}
{{end}}</dl></body></html>
`))
