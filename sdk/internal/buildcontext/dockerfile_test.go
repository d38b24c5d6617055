package buildcontext

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestWhatADockerfileCopiesIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		dockerfile string
		want       []string
	}{
		"nothing":                  {"FROM a\nRUN x", nil},
		"files and folders":        {"FROM a\nCOPY a.txt ./src/ /x/\nADD b.tar /y", []string{"a.txt", "b.tar", "src"}},
		"lists and flags":          {"FROM a\nCOPY --chown=1:1 --chmod=755 --link [\"with space\", \"/x\"]", []string{"with space"}},
		"small letters":            {"from a\ncopy a /x", []string{"a"}},
		"other stages":             {"FROM a AS one\nCOPY in /\nFROM b\nCOPY --from=one /in /out\nCOPY --from=docker.io/c:1 / /c", []string{"in"}},
		"heredocs":                 {"FROM a\nCOPY <<one.txt <<EOT two /dst/\nCOPY not me\none.txt\nCOPY nor me\nEOT\nRUN <<EOT\nCOPY not this /x\nEOT\nCOPY yes /y", []string{"two", "yes"}},
		"long lines and comments":  {"# syntax=docker/dockerfile:1\nFROM a\nCOPY a \\\n  # between\n\n  b \\\n  /x\n# COPY c /x", []string{"a", "b"}},
		"another escape":           {"# escape=`\nFROM a\nCOPY a `\n b c:/x", []string{"a", "b"}},
		"patterns":                 {"FROM a\nCOPY src/*.py requirements-?.txt /x/", []string{"requirements-?.txt", "src/*.py"}},
		"everything":               {"FROM a\nCOPY . .\nCOPY a b", []string{"."}},
		"the root":                 {"FROM a\nCOPY / /x", []string{"."}},
		"nothing leads out":        {"FROM a\nCOPY ../../up /abs/file /x/", []string{"abs/file", "up"}},
		"ARG before FROM":          {"ARG DIR=src\nARG TAG=1\nFROM a:$TAG\nARG DIR\nCOPY $DIR /x", []string{"src"}},
		"ARG and ENV":              {"FROM a\nARG D=one\nENV D=two E=$D-x\nCOPY ${D} ${E:-z} ${F:+no}g /x/", []string{"."}},
		"ARG that is known":        {"FROM a\nARG D=one\nENV E=$D-x\nCOPY ${D} $E /x/", []string{"one", "one-x"}},
		"of a stage below":         {"FROM a AS base\nENV D=src\nFROM base\nCOPY $D /x", []string{"src"}},
		"a variable of the image":  {"FROM a\nCOPY $UNKNOWN /x", []string{"."}},
		"made of such a one":       {"FROM a\nARG D=x\nENV D=$UNKNOWN/x\nCOPY $D /x", []string{"."}},
		"a bind mount":             {"FROM a\nRUN --mount=type=bind,source=pkg,target=/p --mount=type=cache,target=/c x", []string{"pkg"}},
		"a bind mount of all":      {"FROM a\nRUN --mount=target=/p x", []string{"."}},
		"a bind mount from":        {"FROM a\nRUN --mount=type=bind,from=b,source=/x,target=/p x", nil},
		"parents and exclude":      {"FROM a\nCOPY --parents --exclude=*.md x/./y /z", []string{"x/y"}},
		"a BOM and carriage lines": {"\ufeffFROM a\r\nCOPY a /x\r\n", []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Copied(c.dockerfile, false)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestABadDockerfileNamesItsLine(t *testing.T) {
	for text, line := range map[string]int{"FROM a\n\nCOPPY x y": 3, "FROM a\nCOPY x": 2, "RUN x\nFROM a": 1, "FROM a\nCOPY ${x /y": 2, "": 0} {
		_, err := Copied(text, false)
		var e *SyntaxError
		if !errors.As(err, &e) || e.Line != line || strings.Contains(err.Error(), "<nil>") {
			t.Errorf("%q: %v", text, err)
		}
		t.Log(err)
	}
	if got, err := Copied("COPY a /x", true); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("of a fragment: %q, %v", got, err)
	}
}
