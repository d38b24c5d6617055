//go:build linux

package daytona_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestManyFilesAtOnce(t *testing.T) {
	sb, _, _ := started(t)
	ctx, fs := t.Context(), sb.FileSystem
	var up []daytona.FileUpload
	var paths []string
	for i := range 5 {
		paths = append(paths, fmt.Sprintf("many/%d \"ü\".txt", i))
		up = append(up, daytona.FileUpload{Source: strings.NewReader(strings.Repeat("x", i*100_000)), Destination: paths[i]})
	}
	ok(t, fs.UploadFiles(ctx, up...))
	paths = append(paths, "none", "many")
	var got []string
	ok(t, fs.DownloadFiles(ctx, paths, func(path string, content io.Reader, failure error) error {
		if failure != nil {
			got = append(got, fmt.Sprint(path, " ", errors.Is(failure, daytona.ErrNotFound), errors.Is(failure, daytona.ErrInvalid)))
			return nil
		}
		if path == paths[1] {
			return nil // what is not read is passed over
		}
		n, err := io.Copy(io.Discard, content)
		got = append(got, fmt.Sprint(path, " ", n))
		return err
	}))
	if want := `[many/0 "ü".txt 0 many/2 "ü".txt 200000 many/3 "ü".txt 300000 many/4 "ü".txt 400000 none true false many false true]`; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	stop := errors.New("enough")
	if err := fs.DownloadFiles(ctx, paths, func(string, io.Reader, error) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of receive: %v", err)
	}
	ok(t, fs.DownloadFiles(ctx, nil, nil))

	err := fs.UploadFiles(ctx, daytona.FileUpload{Source: strings.NewReader("x"), Destination: "good"}, daytona.FileUpload{Source: strings.NewReader("x"), Destination: "many"})
	wants(t, "one of them a directory", err, daytona.ErrInvalid)
	if content, err := fs.DownloadFile(ctx, "good"); err != nil || string(content) != "x" {
		t.Errorf("the good one: %q, %v", content, err)
	}
	broken := errors.New("broken source")
	err = fs.UploadFiles(ctx, daytona.FileUpload{Source: io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), Destination: "half"})
	if !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
	if _, err := fs.GetFileDetails(ctx, "half"); !errors.Is(err, daytona.ErrNotFound) {
		t.Errorf("half a file: %v", err)
	}
}

func TestAListGoesDeep(t *testing.T) {
	sb, _, _ := started(t)
	ok(t, sb.FileSystem.UploadFile(t.Context(), nil, "deep/a/b/file"))
	var got []string
	files, err := sb.FileSystem.ListTree(t.Context(), "deep", 2)
	ok(t, err)
	for _, f := range files {
		got = append(got, f.Path)
	}
	if fmt.Sprint(got) != "[deep/a deep/a/b]" {
		t.Errorf("%v", got)
	}
	_, err = sb.FileSystem.ListTree(t.Context(), "deep", 0)
	wants(t, "a depth of 0", err, daytona.ErrInvalid)
}

func TestSignedURLsOfFiles(t *testing.T) {
	sb, _, _ := started(t)
	ctx := t.Context()
	ok(t, sb.FileSystem.UploadFile(ctx, []byte("text"), "dir/a b ü"))
	get := func(url string) (int, string) {
		t.Helper()
		res, err := http.Get(url)
		ok(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		ok(t, err)
		return res.StatusCode, string(text)
	}
	url, err := sb.DownloadURL(ctx, "dir/a b ü", time.Minute)
	ok(t, err)
	if status, text := get(url); status != 200 || text != "text" {
		t.Errorf("%d %s", status, text)
	}
	lasting, err := sb.DownloadURL(ctx, "dir/a b ü", 0)
	ok(t, err)
	if status, _ := get(lasting); status != 200 {
		t.Errorf("%d", status)
	}
	upload, err := sb.UploadURL(ctx, "up/load", time.Minute)
	ok(t, err)
	res, err := http.Post(upload, "text/plain", strings.NewReader("uploaded"))
	ok(t, err)
	res.Body.Close()
	if content, err := sb.FileSystem.DownloadFile(ctx, "up/load"); err != nil || string(content) != "uploaded" {
		t.Errorf("%d %q %v", res.StatusCode, content, err)
	}
	for what, url := range map[string]string{"another path": strings.Replace(url, "dir", "other", 1), "another method": upload} {
		if status, _ := get(url); status != 401 {
			t.Errorf("%s: %d", what, status)
		}
	}
	_, err = sb.DownloadURL(ctx, "", time.Minute)
	wants(t, "no path", err, daytona.ErrInvalid)
	ok(t, sb.RotateSigningKey(ctx))
	for _, url := range []string{url, lasting} {
		if status, _ := get(url); status != 401 {
			t.Errorf("after the rotation: %d", status)
		}
	}
}
