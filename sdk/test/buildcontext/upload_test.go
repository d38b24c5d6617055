//go:build linux && root

package buildcontext_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/sdk/internal/filetree"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/sdk/internal/buildcontext"
)

// largePart is what a single request of an upload holds at most.
const largePart = 8 << 20

func TestMain(m *testing.M) {
	objectstore.RunEndpoint()
	os.Exit(m.Run())
}

func TestOnlyWhatTheServerLacksIsSent(t *testing.T) {
	t.Chdir(t.TempDir()) // and back, which the store does not
	store, err := objectstore.Open(objectstore.Options{Dir: t.TempDir(), MaxSize: 64 << 20, Life: time.Hour, Log: slog.New(slog.DiscardHandler),
		Continue: func(context.Context, string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store)
	defer store.Close()
	defer server.Close()
	c, err := store.Access(t.Context(), "org", "key")
	if err != nil {
		t.Fatal(err)
	}
	access := api.StorageAccess{AccessKey: c.AccessKey, Secret: c.Secret, SessionToken: c.SessionToken, StorageURL: server.URL, OrganizationID: "org", Bucket: objectstore.Bucket, Region: objectstore.Region}
	dir := filetree.Make(t, map[string]string{"src/a": "small", "src/run": "#!", "src/link": "->a", "empty/": "", "big": strings.Repeat("0123456789abcdef", 2*largePart/16+1)})
	if err := os.Chmod(filepath.Join(dir, "src/run"), 0o751); err != nil {
		t.Fatal(err)
	}
	all := archives(t, dir)
	var lines []string
	sent, err := buildcontext.Upload(t.Context(), access, nil, all, func(line string) { lines = append(lines, line) })
	if err != nil || sent < 2*largePart || len(lines) != 1 {
		t.Fatalf("sent %d, %v, %q", sent, err, lines)
	}
	back := t.TempDir()
	for _, a := range all {
		r, err := store.Context(t.Context(), "org", a.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := objectstore.Extract(t.Context(), r, back, objectstore.Limits{Bytes: 1 << 30, Entries: 100}); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	if n := missing(all, archives(t, back)); n != 0 {
		t.Errorf("%d parts are not what was packed", n)
	}
	first, err := os.Stat(filepath.Join(dir, "src/a"))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.Stat(filepath.Join(back, "src/a")); err != nil || !second.ModTime().Equal(first.ModTime()) {
		t.Errorf("the time is not kept: %v, %v, %v", first, second, err)
	}
	if sent, err = buildcontext.Upload(t.Context(), access, nil, all, nil); err != nil || sent != 0 {
		t.Errorf("again: sent %d, %v", sent, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "src/a"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	changed := archives(t, dir)
	if sent, err = buildcontext.Upload(t.Context(), access, nil, changed, nil); err != nil || sent != 7 {
		t.Errorf("after a change: sent %d, %v", sent, err)
	}

	// What changes between the reading and the sending is not sent at all.
	dir = filetree.Make(t, map[string]string{"f": "then"})
	late := archives(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("now!"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := buildcontext.Upload(t.Context(), access, nil, late, nil); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("a file that changed: %v", err)
	}
	if _, err := store.Context(t.Context(), "org", late[0].Hash); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := buildcontext.Upload(ended, access, nil, late, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	access.OrganizationID = "other"
	if _, err := buildcontext.Upload(t.Context(), access, nil, changed, nil); err == nil || !strings.Contains(err.Error(), "Access Denied") {
		t.Errorf("below another's prefix: %v", err)
	}
}

func archives(t *testing.T, dir string) []buildcontext.Archive {
	t.Helper()
	var s buildcontext.Set
	if err := s.AddCopied(t.Context(), []string{"."}, buildcontext.Source{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Archives(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// missing counts those of after that are not in before.
func missing(before, after []buildcontext.Archive) (n int) {
	for _, a := range after {
		if !slices.ContainsFunc(before, func(b buildcontext.Archive) bool { return b.Hash == a.Hash }) {
			n++
		}
	}
	return n
}
