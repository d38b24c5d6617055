//go:build linux

package daytona_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestFilesGoInAndOut(t *testing.T) {
	sb, _, _ := started(t)
	ctx, fs := t.Context(), sb.FileSystem
	content := []byte("line one\nneedle & more\n\x00\xff")
	ok(t, fs.UploadFile(ctx, content, "made/for/it/a b?&é.txt"))
	got, err := fs.DownloadFile(ctx, "made/for/it/a b?&é.txt")
	ok(t, err)
	if !bytes.Equal(got, content) {
		t.Errorf("got %q", got)
	}
	ok(t, fs.UploadFile(ctx, nil, "empty"))
	if got, err := fs.DownloadFile(ctx, "empty"); err != nil || len(got) != 0 {
		t.Errorf("empty: %q, %v", got, err)
	}
	_, err = fs.DownloadFile(ctx, "none")
	wants(t, "downloading what is not there", err, daytona.ErrNotFound)
	_, err = fs.GetFileDetails(ctx, "none")
	wants(t, "details of what is not there", err, daytona.ErrNotFound)
	_, err = fs.ListFiles(ctx, "none")
	wants(t, "listing what is not there", err, daytona.ErrNotFound)
}

// counted makes n bytes and hashes what was read of it.
type counted struct {
	left int64
	sum  io.Writer
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.left)
	for i := range p[:n] {
		p[i] = byte(c.left + int64(i)*7)
	}
	c.left -= n
	return c.sum.Write(p[:n])
}

func TestLargeFilesStream(t *testing.T) {
	sb, _, _ := started(t)
	ctx, fs := t.Context(), sb.FileSystem
	const size = 64 << 20
	up, down := sha256.New(), sha256.New()
	ok(t, fs.UploadFileStream(ctx, &counted{size, up}, "large"))
	info, err := fs.GetFileDetails(ctx, "large")
	ok(t, err)
	if info.Size != size || info.IsDir || info.Name != "large" {
		t.Errorf("details %+v", info)
	}
	r, err := fs.DownloadFileStream(ctx, "large")
	ok(t, err)
	if _, err = io.Copy(down, r); err != nil {
		t.Error(err)
	}
	ok(t, r.Close())
	if !bytes.Equal(up.Sum(nil), down.Sum(nil)) {
		t.Error("what came back differs")
	}
}

func TestAnUploadWhoseSourceFailsLeavesNothing(t *testing.T) {
	sb, _, _ := started(t)
	ctx, fs := t.Context(), sb.FileSystem
	broken := errors.New("the tape is torn")
	err := fs.UploadFileStream(ctx, io.MultiReader(strings.NewReader("half"), &failing{broken}), "torn")
	wants(t, "a source that fails", err, broken)
	if errors.Is(err, daytona.ErrUnreachable) {
		t.Errorf("the server is blamed: %v", err)
	}
	_, err = fs.GetFileDetails(ctx, "torn")
	wants(t, "half a file", err, daytona.ErrNotFound)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestFilesAreFoundChangedAndMoved(t *testing.T) {
	sb, _, _ := started(t)
	ctx, fs := t.Context(), sb.FileSystem
	ok(t, fs.CreateFolder(ctx, "src/deep", "0750"))
	ok(t, fs.UploadFile(ctx, []byte("alpha\nneedle here\n"), "src/one.txt"))
	ok(t, fs.UploadFile(ctx, []byte("needle\nneedle\n"), "src/deep/two.txt"))

	matches, err := fs.FindFiles(ctx, "src", "needle h")
	ok(t, err)
	if len(matches) != 1 || matches[0].Line != 2 || matches[0].Content != "needle here" || !strings.HasSuffix(matches[0].File, "src/one.txt") {
		t.Errorf("found %+v", matches)
	}
	paths, err := fs.SearchFiles(ctx, "src", "*.txt")
	ok(t, err)
	if names := base(paths); !slices.Equal(names, []string{"one.txt", "two.txt"}) {
		t.Errorf("searched %v", paths)
	}
	results, err := fs.ReplaceInFiles(ctx, []string{"src/deep/two.txt", "src/none"}, "needle", "pin")
	ok(t, err)
	if len(results) != 2 || !results[0].Success || results[1].Success || results[1].Error == "" {
		t.Errorf("replaced %+v", results)
	}
	if got, err := fs.DownloadFile(ctx, "src/deep/two.txt"); err != nil || string(got) != "pin\npin\n" {
		t.Errorf("got %q, %v", got, err)
	}
	ok(t, fs.SetFilePermissions(ctx, "src/one.txt", daytona.Permissions{Mode: "0600", Owner: "nobody"}))
	info, err := fs.GetFileDetails(ctx, "src/one.txt")
	ok(t, err)
	if info.Permissions != "0600" || info.Owner != "nobody" {
		t.Errorf("details %+v", info)
	}
	ok(t, fs.MoveFiles(ctx, "src/one.txt", "src/moved.txt"))
	files, err := fs.ListFiles(ctx, "src")
	ok(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
		if f.Name == "deep" && (!f.IsDir || f.Permissions != "0750") {
			t.Errorf("deep is %+v", f)
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"deep", "moved.txt"}) {
		t.Errorf("listed %v", names)
	}
	if err := fs.DeleteFile(ctx, "src", false); err == nil {
		t.Error("a directory with files in it was deleted without recursive")
	}
	ok(t, fs.DeleteFile(ctx, "src", true))
	_, err = fs.ListFiles(ctx, "src")
	wants(t, "a deleted directory", err, daytona.ErrNotFound)
}

func base(paths []string) []string {
	var names []string
	for _, p := range paths {
		names = append(names, path.Base(p))
	}
	slices.Sort(names)
	return names
}
