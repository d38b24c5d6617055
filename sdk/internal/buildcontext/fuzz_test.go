package buildcontext

import (
	"errors"
	"path"
	"strings"
	"testing"
)

// FuzzDockerfile looks for a Dockerfile that makes the client take files from
// outside the context, or fail without a word on where.
func FuzzDockerfile(f *testing.F) {
	f.Add("FROM a\nCOPY a b /c/\nADD --chown=1 x y\n", false)
	f.Add("ARG X=..\nFROM a\nCOPY $X/../x /\nRUN --mount=type=bind,source=s,target=/t true\n", false)
	f.Add("COPY <<E /a\nx\nE\nCOPY --from=0 a b\n", true)
	f.Add("# syntax=a\n# escape=`\nFROM a as b\nCOPY [\"../a\", \"b\"]\n", false)
	f.Fuzz(func(t *testing.T, text string, fragment bool) {
		patterns, err := Copied(text, fragment)
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("%v is no error of syntax", err)
		}
		for _, p := range patterns {
			if p != path.Clean(p) || p == ".." || strings.HasPrefix(p, "../") || strings.HasPrefix(p, "/") {
				t.Fatalf("%q is copied", p)
			}
		}
	})
}
