package build

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFilesOfBuildsAreNotMistakenForOthersOfTheSameSizeAndTime(t *testing.T) {
	f := open(t, nil)
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"one", "two"} {
		img, err := f.Build(t.Context(), Request{
			ID: text, Owner: "test/" + text, Dockerfile: "FROM busybox:1\nCOPY file /file\n", Log: io.Discard,
			Fill: func(_ context.Context, dir string) error {
				name := filepath.Join(dir, "file")
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					return err
				}
				return os.Chtimes(name, at, at)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, img, "file"); got != text {
			t.Errorf("the file is %q, want %q", got, text)
		}
	}
}
