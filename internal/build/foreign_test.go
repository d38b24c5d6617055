package build

import (
	"errors"
	"strings"
	"testing"
)

// What docker build does and a sandbox cannot is told by name, with what to do.
func TestWhatNoSandboxCanDoIsToldWhenABuildTriesIt(t *testing.T) {
	f := open(t, nil)
	for name, c := range map[string]struct {
		dockerfile string
		line       int
		says       string
	}{
		"copy":          {"FROM busybox:1\nCOPY --chown=200000:0 file /file\n", 2, "0 to 65535"},
		"copy by group": {"FROM busybox:1\nARG id=70000\nCOPY --chown=0:$id file /file\n", 3, "0 to 65535"},
		"add":           {"FROM busybox:1\nADD --chown=200000 file /file\n", 2, "0 to 65535"},
		"heredoc":       {"FROM busybox:1\nCOPY --chown=200000 <<END /file\ntext\nEND\n", 2, "0 to 65535"},
		"chown":         {"FROM busybox:1\nRUN touch /a && chown 200000 /a\n", 2, "0 to 65535"},
		"a later user":  {"FROM busybox:1\nRUN echo app:x:200000:200000::/:/bin/sh >>/etc/passwd\nUSER app\nRUN true\n", 4, "0 to 65535"},
		"a user":        {"FROM busybox:1\nUSER 200000\nWORKDIR /srv/app\nRUN true\n", 3, "0 to 65535"},
		"the last user": {"FROM busybox:1\nUSER 200000\n", 0, "USER 200000"},
		"a device":      {"FROM busybox:1\nRUN busybox mknod /dev/own c 1 3\n", 2, "cannot make devices"},
	} {
		t.Run(name, func(t *testing.T) {
			_, log, err := f.make(strings.ReplaceAll(name, " ", "-"), c.dockerfile, map[string]string{"file": "text"})
			var e *Error
			if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Message(), c.says) {
				t.Errorf("line %d: %v\n%s", e.Line, err, log)
			}
		})
	}
	// Nothing is said of a step that does without.
	if _, log, err := f.make("does-without", "FROM busybox:1\nRUN touch /a; chown 200000 /a || true; chown 65535 /a\nCOPY --chown=65535:65535 file /file\nUSER 65535\nRUN id\n", map[string]string{"file": "text"}); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	_, log, err := f.make("fails-otherwise", "FROM busybox:1\nRUN sleep x\n", nil)
	var e *Error
	if !errors.As(err, &e) || strings.Contains(e.Message(), "65535") {
		t.Errorf("%v\n%s", err, log)
	}
}
