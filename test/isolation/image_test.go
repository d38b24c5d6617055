package isolation

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"al.essio.dev/pkg/shellescape"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// serveImage serves the fixtures' busybox with layers on top and what edit
// changes, and returns its reference.
func serveImage(t *testing.T, s *serve.Server, tag string, edit func(*v1.Config), layers ...[]tar.Header) string {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(s.Mirror, "http://")+"/library/alpine:3.21", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	image := base(t, ref)
	for _, entries := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range entries {
			text := ""
			if h.Typeflag == tar.TypeReg {
				text = "escaped"
				h.Size = int64(len(text))
			}
			if h.Mode == 0 {
				h.Mode = 0o755
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := file.Config
	if edit != nil {
		edit(&config)
	}
	if image, err = mutate.Config(image, config); err != nil {
		t.Fatal(err)
	}
	if err := s.Registry.AddImage("fixtures/hostile", tag, image); err != nil {
		t.Fatal(err)
	}
	return "fixtures/hostile:" + tag
}

// base is an image in memory, so that the registry does not ask itself for it.
func base(t *testing.T, ref name.Reference) v1.Image {
	t.Helper()
	there, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := there.Layers()
	if err != nil {
		t.Fatal(err)
	}
	image := empty.Image
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		here, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, here); err != nil {
			t.Fatal(err)
		}
	}
	file, err := there.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.ConfigFile(image, merged(t, image, file)); err != nil {
		t.Fatal(err)
	}
	return image
}

// merged is the configuration of one image with the layers of another.
func merged(t *testing.T, layers v1.Image, config *v1.ConfigFile) *v1.ConfigFile {
	t.Helper()
	own, err := layers.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file := config.DeepCopy()
	file.RootFS, file.History = own.RootFS, own.History
	return file
}

// addImages serves an image with a volume, which is a directory of the
// sandboxes' filesystem itself.
func addImages(t *testing.T, s *serve.Server) string {
	t.Helper()
	return serveImage(t, s, "1", func(c *v1.Config) { c.Volumes = map[string]struct{}{"/data": {}} })
}

func file(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }

func symlink(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}

func hardLink(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}

func directory(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

func TestNoLayerLeadsOutOfItsImage(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	dir, err := os.MkdirTemp("/var/tmp", "isolation-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	kept := filepath.Join(dir, "kept")
	if err := os.WriteFile(kept, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20) + strings.TrimPrefix(dir, "/")
	ran := 0
	for i, c := range []struct {
		what    string
		layers  [][]tar.Header
		refused bool
		escape  string // in its own root, where a layer that is confined has written
	}{
		{what: "a name that climbs", layers: [][]tar.Header{{file(up + "/escaped")}}, refused: true},
		{what: "a name that climbs in its middle", layers: [][]tar.Header{{directory("a"), file("a/" + up + "/escaped")}}, refused: true},
		{what: "an absolute name", layers: [][]tar.Header{{file(dir + "/escaped")}}, escape: dir + "/escaped"},
		{what: "below a link", layers: [][]tar.Header{{symlink("out", dir), file("out/escaped")}}, escape: dir + "/escaped"},
		{what: "below a link that climbs", layers: [][]tar.Header{{symlink("out", up), file("out/escaped")}}, escape: dir + "/escaped"},
		{what: "below a link of another layer", layers: [][]tar.Header{{symlink("out", dir)}, {file("out/escaped")}}},
		{what: "below a chain of links", layers: [][]tar.Header{{symlink("a", "b"), symlink("b", "/c"), symlink("c", dir)}, {file("a/escaped")}}},
		{what: "through a link to a file", layers: [][]tar.Header{{symlink("file", kept), file("file")}}},
		{what: "through the link of another layer", layers: [][]tar.Header{{symlink("file", kept)}, {file("file")}}},
		{what: "through /proc", layers: [][]tar.Header{{symlink("out", "/proc/1/root"+dir), file("out/escaped")}}},
		{what: "a hard link that climbs", layers: [][]tar.Header{{hardLink("stolen", up+"/kept")}}, refused: true},
		{what: "an absolute hard link", layers: [][]tar.Header{{hardLink("stolen", kept)}}, refused: true},
		{what: "a hard link below a link", layers: [][]tar.Header{{symlink("out", dir), hardLink("stolen", "out/kept")}}, refused: true},
		{what: "a whiteout that climbs", layers: [][]tar.Header{{file(up + "/.wh.kept")}}, refused: true},
		{what: "a whiteout below a link", layers: [][]tar.Header{{symlink("out", dir), file("out/.wh.kept")}}},
		{what: "a whiteout below another layer's link", layers: [][]tar.Header{{symlink("out", dir)}, {file("out/.wh.kept"), file("out/.wh..wh..opq")}}},
		{what: "a whiteout of its parent", layers: [][]tar.Header{{file(".wh..")}, {file("a/.wh...")}}},
	} {
		ref := serveImage(t, s, fmt.Sprint(100+i), nil, c.layers...)
		_, err := s.Client.Snapshot.Create(t.Context(), daytona.CreateSnapshotParams{Name: fmt.Sprint("layer-", i), Image: ref}, nil)
		t.Logf("%s: %v", c.what, err)
		if c.refused && err == nil {
			t.Errorf("%s: it was not refused", c.what)
		}
		entries, readErr := os.ReadDir(dir)
		if b, keptErr := os.ReadFile(kept); keptErr != nil || string(b) != secret || readErr != nil || len(entries) != 1 {
			t.Fatalf("%s: it changed the host: %q, %v, %v, %v", c.what, b, keptErr, entries, readErr)
		}
		if err != nil {
			continue
		}
		// A sandbox of it sees its own files only, and the entry where it was confined to.
		b, err := s.Client.Create(t.Context(), daytona.CreateParams{Snapshot: fmt.Sprint("layer-", i), User: "root"})
		if err != nil {
			t.Logf("%s: no sandbox of it: %v", c.what, err)
			continue
		}
		ran++
		if out := s.Output(b.ID, "cat /file /stolen /out/kept "+kept+" 2>/dev/null; true"); strings.Contains(out, secret) {
			t.Errorf("%s: it shows a file of the host", c.what)
		}
		if c.escape != "" {
			if out := s.Output(b.ID, "cat "+c.escape); out != "escaped" {
				t.Errorf("%s: %q: the layer's entry is nowhere", c.what, out)
			}
		}
		if err := b.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if ran < 5 {
		t.Errorf("%d layers were tried in sandboxes: too few to tell what they reach", ran)
	}
}

// Device nodes of a layer are useless, whoever they are of.
func TestDeviceNodesOfAnImageOpenNothing(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	node := tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}
	s.Snapshot("nodes", serveImage(t, s, "nodes", nil, []tar.Header{node}))
	b := s.Sandbox("nodes")
	if out := s.Output(b.ID, "cat /dev/null && (test -c /null && ! cat /null || test ! -e /null) && echo shut"); !strings.Contains(out, "shut") {
		t.Errorf("%q", out)
	}
}

// A runtime that leaks a descriptor of the host leads there by a working
// directory (CVE-2024-21626); volumes and the user are paths and names too.
func TestNothingThatAnImageSaysOfItselfLeadsToTheHost(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, _ := canary(t, dir)
	s.Snapshot("plain", "alpine:3.21")
	plain := box(s, "plain")
	try := func(what string, b *daytona.Sandbox, cwd string) {
		t.Helper()
		command := "/hostile read " + path + " " + shellescape.Quote(secret) + "; echo exit $?"
		answer, err := b.Process.ExecuteCommand(t.Context(), command, daytona.ExecuteOptions{Cwd: cwd})
		if err == nil && !strings.Contains(answer.Result, "exit 1") {
			t.Errorf("%s: %s", what, answer.Result)
		}
	}
	try("no directory", plain, "")
	for fd := range 16 {
		try("a working directory", plain, fmt.Sprintf("/proc/self/fd/%d/../../..", fd))
		try("the agent's descriptor", plain, fmt.Sprintf("/proc/1/fd/%d", fd))
	}
	configs := map[string]func(*v1.Config){
		"volume-up":   func(c *v1.Config) { c.Volumes = map[string]struct{}{"/../../../../.." + dir: {}} },
		"volume-proc": func(c *v1.Config) { c.Volumes = map[string]struct{}{"/proc": {}, "/proc/self/fd/7": {}} },
		"volume-ours": func(c *v1.Config) { c.Volumes = map[string]struct{}{"/.daytona": {}, "/dev": {}, "/": {}} },
		"user":        func(c *v1.Config) { c.User = "../../../../etc/passwd:0" },
		"preload": func(c *v1.Config) {
			c.Env = append(c.Env, "LD_PRELOAD=/evil.so", "_LIBCONTAINER_INITPIPE=3", "GODEBUG=x=y")
		},
	}
	for _, fd := range []int{3, 6, 7, 8, 9} {
		configs[fmt.Sprint("cwd-", fd)] = func(c *v1.Config) { c.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", fd) }
	}
	ran := 0
	for tag, edit := range configs {
		if _, err := s.Client.Snapshot.Create(t.Context(), daytona.CreateSnapshotParams{Name: tag, Image: serveImage(t, s, tag, edit)}, nil); err != nil {
			t.Logf("%s: %v", tag, err)
			continue
		}
		b, err := s.Client.Create(t.Context(), daytona.CreateParams{Snapshot: tag, User: "root"})
		if err != nil {
			t.Logf("%s: no sandbox of it: %v", tag, err)
			continue
		}
		ran++
		program, err := os.ReadFile(hostile)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.FileSystem.UploadFile(t.Context(), program, "/hostile"); err != nil {
			t.Errorf("%s: %v", tag, err)
			continue
		}
		run(t, b, "chmod 755 /hostile")
		try(tag, b, "")
		if err := b.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if ran < 3 {
		t.Errorf("%d of %d configurations were tried in sandboxes: too few to tell what they reach", ran, len(configs))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the host's directory holds %v, %v", entries, err)
	}
}
