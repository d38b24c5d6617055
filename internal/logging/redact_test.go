package logging

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestTheLogNamesNoSecret(t *testing.T) {
	const secret = "5eCr3t5eCr3t5eCr3t"
	signed := "https://bucket.s3.example.com/blob/sha256:12?X-Amz-Signature=" + secret + "&x=1"
	for name, write := range map[string]func(*slog.Logger){
		"a signed URL in an error of net/http": func(l *slog.Logger) {
			l.Error("pull", "err", fmt.Errorf("fetch: %w", &url.Error{Op: "Get", URL: signed, Err: errors.New("reset, kept")}))
		},
		"a signed URL, kept":        func(l *slog.Logger) { l.Info("x", "url", signed) },
		"a URL of package url":      func(l *slog.Logger) { u, _ := url.Parse(signed); l.Info("kept", "url", u) },
		"a password in a URL, kept": func(l *slog.Logger) { l.Info("get https://me:" + secret + "@example.com/v2/") },
		"a group":                   func(l *slog.Logger) { l.WithGroup("g").With("url", signed).Info("kept") },
		"a header":                  func(l *slog.Logger) { l.Info("kept", "header", []string{"Authorization: Bearer " + secret}) },
		"an API key":                func(l *slog.Logger) { l.Info("kept", "err", errors.New("key dtn_"+secret)) },
		"what containerd logs": func(l *slog.Logger) {
			logrus.WithFields(logrus.Fields{"response.header.location": signed, "err": errors.New(signed)}).Error("kept")
		},
	} {
		for _, json := range []bool{false, true} {
			var out bytes.Buffer
			write(New(&out, slog.LevelDebug, json))
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s (JSON %t): %s", name, json, &out)
			}
			if !strings.Contains(out.String()+name, "kept") || out.Len() == 0 {
				t.Errorf("%s (JSON %t): the log says too little: %s", name, json, &out)
			}
		}
	}
}

func TestRedactingKeepsWhatIsNoSecret(t *testing.T) {
	for _, text := range []string{
		"pull docker.io/library/python:3.12: not found", "http://127.0.0.1:3986", "https://registry.example.com/v2/",
		"user@example.com", "GET /api/sandbox/box/ports/80/signed-preview-url", "why? because", "basic facts",
	} {
		if got := redact(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
