package adapter

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// uploaded are archives in memory, each with one file; its version is the text.
type uploaded struct {
	objectstore.Contexts
	text map[string]string // by hash
}

func (u uploaded) Version(_ context.Context, _, hash string) (string, error) {
	text, ok := u.text[hash]
	if !ok {
		return "", objectstore.ErrNotFound
	}
	return text, nil
}

func (u uploaded) Context(ctx context.Context, organizationID, hash string) (*objectstore.Archive, error) {
	text, err := u.Version(ctx, organizationID, hash)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = errors.Join(w.WriteHeader(&tar.Header{Name: hash, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}), second(io.WriteString(w, text)), w.Close())
	return &objectstore.Archive{ReadCloser: io.NopCloser(&b), Version: text}, err
}

func second[T any](_ T, err error) error { return err }

func TestABuildTakesTheFilesItWasAskedForWith(t *testing.T) {
	c := Contexts{uploaded{text: map[string]string{"a": "one", "b": "two"}}}
	versions, err := c.versions(t.Context(), "org", []string{"a", "none", "b"})
	if err != nil || !slices.Equal(versions, []string{"one", "", "two"}) {
		t.Fatalf("%q, %v", versions, err)
	}
	for name, test := range map[string]struct {
		build snapshot.Build
		says  string // "" is that it has the files
	}{
		"what was there":                   {snapshot.Build{Contexts: []string{"a", "b"}, Versions: []string{"one", "two"}}, ""},
		"what came later":                  {snapshot.Build{Contexts: []string{"a", "b"}, Versions: []string{"one", ""}}, ""},
		"from before versions were kept":   {snapshot.Build{Contexts: []string{"a", "b"}}, ""},
		"what was replaced":                {snapshot.Build{Contexts: []string{"a", "b"}, Versions: []string{"one", "before"}}, "Other files were uploaded as build context b "},
		"what is not there, and never was": {snapshot.Build{Contexts: []string{"a", "none"}, Versions: []string{"one", ""}}, "The build context none was not uploaded"},
		"what is not there any more":       {snapshot.Build{Contexts: []string{"a", "none"}, Versions: []string{"one", "before"}}, "The build context none was not uploaded"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := c.fill(t.Context(), "org", test.build, dir)
			if told, ok := errors.AsType[contextError](err); test.says != "" {
				if !ok || !strings.HasPrefix(told.Message(), test.says) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for hash, want := range map[string]string{"a": "one", "b": "two"} {
				if text, err := os.ReadFile(filepath.Join(dir, hash)); err != nil || string(text) != want {
					t.Errorf("%s: %q, %v", hash, text, err)
				}
			}
		})
	}
}
