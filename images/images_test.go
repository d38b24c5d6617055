package images

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheDockerfileStandsOnTheBaseAndEndsWithTheVariant(t *testing.T) {
	for _, variant := range Variants() {
		text := Dockerfile(variant, "example.com/debian:1")
		if !strings.Contains(text, "\nARG BASE=example.com/debian:1\n") || strings.Contains(text, fromDefault) {
			t.Errorf("%s does not stand on the base", variant)
		}
		if !strings.HasSuffix(text, "\nFROM "+variant+"\n") || !strings.Contains(text, " AS "+variant+"\n") {
			t.Errorf("%s is not what is built", variant)
		}
	}
}

func TestEveryFileThatTheDockerfileNamesIsEmbedded(t *testing.T) {
	dir := t.TempDir()
	if err := Fill(dir); err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`source=([^,]+),|COPY (\S+) `).FindAllStringSubmatch(dockerfile, -1)
	if len(named) == 0 {
		t.Fatal("the Dockerfile names no file")
	}
	for _, m := range named {
		if _, err := os.Stat(filepath.Join(dir, m[1]+m[2])); err != nil {
			t.Error(err)
		}
	}
}

// What is installed is what was locked, whoever serves it.
func TestEveryPythonPackageIsLockedByHash(t *testing.T) {
	locks, err := filepath.Glob("python/*.txt")
	if err != nil || len(locks) < 4 {
		t.Fatal(locks, err)
	}
	for _, path := range locks {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for entry := range strings.SplitSeq(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
			if entry != "" && (!strings.Contains(entry, "==") || !strings.Contains(entry, "--hash=sha256:")) {
				t.Errorf("%s: not locked: %s", path, entry)
			}
		}
	}
}
