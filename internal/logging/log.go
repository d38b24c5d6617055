// Package logging makes the log that everything writes into, and keeps secrets out
// of it.
package logging

import (
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"net/http"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

// New makes the server's log, and lets the libraries that have their own
// write into it.
func New(w io.Writer, level slog.Level, json bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttr}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if json {
		handler = slog.NewJSONHandler(w, options)
	}
	log := slog.New(handler)
	klog.SetSlogLogger(log)
	// net/http's clients log there what they do not expect of a server, and
	// programs in sandboxes may say anything.
	outside := slog.NewLogLogger(handler, slog.LevelDebug)
	stdlog.SetFlags(0)
	stdlog.SetOutput(outside.Writer())
	logrus.SetOutput(io.Discard)
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	logrus.AddHook(containerdLog{log})
	return log
}

// containerdLog passes on what the libraries of containerd and of the registry
// log.
type containerdLog struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (containerdLog) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook. What fails comes back as an error too, and is
// logged with its context; what a library only warns of, such as a filesystem
// without fs-verity at each start, concerns its developers.
func (c containerdLog) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	// What the registry answers a client with, such as that it has no such blob
	// yet, is the client's to know.
	status, _ := e.Data["http.response.status"].(int)
	if e.Level <= logrus.ErrorLevel && (status == 0 || status >= http.StatusInternalServerError) {
		level = slog.LevelWarn
	}
	attrs := make([]slog.Attr, 0, len(e.Data))
	for k, v := range e.Data {
		attrs = append(attrs, slog.Any(k, v))
	}
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	c.log.LogAttrs(ctx, level, e.Message, attrs...)
	return nil
}
