package logging

import (
	"fmt"
	"log/slog"
	"regexp"
)

// secrets are the forms in which what opens a door gets into a text that is
// logged: mostly in errors of libraries, which quote the URL that failed.
// Registries and stores send clients to URLs whose query is a signature.
var secrets = []struct {
	form *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`(https?://[^\s"'<>?#]+)\?[^\s"'<>]+`), "$1?…"},
	{regexp.MustCompile(`(https?://)[^\s"'<>/@]+@`), "$1…@"},
	{regexp.MustCompile(`(/signed-preview-url/)[^\s"'<>/]+`), "$1…"},
	{regexp.MustCompile(`(?i)\b(Bearer|Basic) [a-z0-9+/=_.~\-]{8,}`), "$1 …"},
	{regexp.MustCompile(`\bdtn_[0-9a-zA-Z]{8,}`), "dtn_…"},
}

func redact(text string) string {
	for _, s := range secrets {
		text = s.form.ReplaceAllString(text, s.to)
	}
	return text
}

// redactAttr is for slog.HandlerOptions: a log is read by more people than may
// use what it could let slip.
func redactAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(redact(a.Value.String()))
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case error:
			a.Value = slog.StringValue(redact(v.Error()))
		case fmt.Stringer:
			a.Value = slog.StringValue(redact(v.String()))
		case []string:
			a.Value = slog.StringValue(redact(fmt.Sprint(v)))
		}
	}
	return a
}
