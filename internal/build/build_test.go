package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/buildkit/client"
	"github.com/moby/sys/mountinfo"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/image"
)

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// busybox serves a registry that has busybox:1, one for all tests.
func busybox(t *testing.T) string {
	t.Helper()
	once.Do(func() { registryURL = serveBusybox(t) })
	return registryURL
}

var (
	once        sync.Once
	registryURL string
)

func serveBusybox(t *testing.T) (url string) {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v: install busybox-static", err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	add := func(h tar.Header, text []byte) {
		h.Size = int64(len(text))
		if err := errors.Join(w.WriteHeader(&h)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "etc", "home", "home/user"} {
		add(tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	add(tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, program)
	for _, applet := range []string{"sh", "cat", "echo", "id", "ls", "mkdir", "sleep", "env", "stat", "test", "touch", "dd", "rm", "true", "chown", "head"} {
		add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
	}
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	img, config := ofLayer(t, layer.Bytes())
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	for tag, architecture := range map[string]string{"1": runtime.GOARCH, "s390x": "s390x", "unnamed": ""} {
		config.Architecture, config.OS, config.Config.Env = architecture, "linux", []string{"PATH=/bin"}
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/library/busybox:"+tag, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	return server.URL
}

type fixture struct {
	t      *testing.T
	images *image.Store
	engine *local.Local
	*Builder
}

func open(t *testing.T, edit func(*Options)) *fixture {
	t.Helper()
	return openWith(t, func(*image.Options) {}, edit)
}

func openWith(t *testing.T, editImages func(*image.Options), edits ...func(*Options)) *fixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	dir := t.TempDir()
	// Sandboxes come through it with ids of their own.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	imageOptions := image.Options{Dir: filepath.Join(dir, "images"), Mirrors: map[string][]image.Mirror{"docker.io": {{URL: busybox(t)}}}, Log: logger}
	editImages(&imageOptions)
	images, err := image.Open(t.Context(), imageOptions)
	if err != nil {
		t.Fatal(err)
	}
	e, err := local.Open(t.Context(), local.Options{DataDir: dir, Runtime: os.Getenv("DAYTONA_TEST_RUNTIME"), Images: images, DiskSize: 1 << 30, Slots: 2, Version: "test", Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, images: images, engine: e}
	o := Options{
		Dir: filepath.Join(dir, "builds"), Images: images, Steps: e, Disks: e.BuildDisks(), CacheSize: 1 << 30, Timeout: time.Minute, Log: logger,
		Resources: engine.Resources{CPU: 1, Memory: 256 << 20, Disk: 64 << 20, PIDs: 256},
	}
	for _, edit := range edits {
		if edit != nil {
			edit(&o)
		}
	}
	// One builder for a process: BuildKit keeps some of its state in globals.
	if f.Builder, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(f.Close(), f.engine.Purge(ctx), f.engine.Close(), f.images.Close()); err != nil {
			t.Error(err)
		}
		left, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
		if err != nil || len(left) > 0 {
			t.Errorf("mounts are left: %v, %v", left, err)
		}
	})
	return f
}

// make builds a Dockerfile with the files as its context.
func (f *fixture) make(id, dockerfile string, files map[string]string) (*image.Image, string, error) {
	f.t.Helper()
	var log buffer
	img, err := f.Build(f.t.Context(), Request{ID: id, Owner: "test/" + id, Dockerfile: dockerfile, Log: &log, Fill: fill(files)})
	return img, log.String(), err
}

// fill writes the files of a context.
func fill(files map[string]string) func(context.Context, string) error {
	return func(_ context.Context, dir string) error {
		for name, text := range files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
				return err
			}
		}
		return nil
	}
}

// read finds a file in the image's layers.
func read(t *testing.T, img *image.Image, path string) string {
	t.Helper()
	for _, layer := range img.Layers {
		if b, err := os.ReadFile(filepath.Join(layer, path)); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	t.Fatalf("%s is in no layer of %v", path, img.Layers)
	return ""
}

func TestADockerfileBecomesAnUnpackedImage(t *testing.T) {
	f := open(t, nil)
	img, log, err := f.make("one", `# syntax=docker/dockerfile:1
FROM busybox:1 AS tools
ARG WORD=hello
RUN echo $WORD >/word && echo told-by-the-step
FROM busybox:1
WORKDIR /work
COPY --from=tools /word .
COPY --chown=user src/ /src/
ADD archive.txt /archive.txt
RUN --mount=type=cache,target=/cache echo kept >>/cache/file && cat /cache/file >/cached
RUN --mount=type=bind,source=src/a/file,target=/bound --mount=from=tools,source=/bin,target=/tools ! echo x >/bound && /tools/cat /bound >/from-mounts
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x && mkdir /made && chown user /made
USER user
RUN id -u >/tmp/uid && echo out >/dev/stdout && touch /made/by-user
RUN <<EOT
  echo heredoc >/tmp/heredoc
EOT
ENV COLOUR=blue
ENTRYPOINT ["/bin/sleep"]
CMD ["9"]
`, map[string]string{"src/a/file": "copied", "archive.txt": "added"})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for path, want := range map[string]string{
		"work/word": "hello", "src/a/file": "copied", "archive.txt": "added", "cached": "kept", "from-mounts": "copied", "tmp/uid": "1000", "tmp/heredoc": "heredoc",
	} {
		if got := read(t, img, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if c := img.Config; !slices.Equal(c.Command(), []string{"/bin/sleep", "9"}) || c.User != "user" || c.WorkDir != "/work" || !slices.Contains(c.Env, "COLOUR=blue") {
		t.Errorf("configuration is %+v", c)
	}
	if !strings.Contains(log, "told-by-the-step") {
		t.Errorf("the log lacks what the step said:\n%s", log)
	}
	for _, layer := range img.Layers {
		for _, stub := range []string{"etc/resolv.conf", "etc/hosts", "scratch", "cache", "daytona"} {
			if _, err := os.Lstat(filepath.Join(layer, stub)); err == nil {
				t.Errorf("%s is left in a layer", stub)
			}
		}
	}
	owners, err := f.images.Owners(t.Context())
	if err != nil || owners["test/one"] != img.Digest {
		t.Errorf("owners are %v, %v", owners, err)
	}

	// The collector takes nothing that is held.
	if err := f.images.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, img, "work/word"); got != "hello" {
		t.Errorf("after a collection the word is %q", got)
	}
	again, log, err := f.make("two", "FROM busybox:1\nRUN echo one >/one\n", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	_, log, err = f.make("three", "FROM busybox:1\nRUN echo one >/one\n", nil)
	if err != nil || !strings.Contains(log, "CACHED") {
		t.Errorf("the same build is not cached: %v\n%s", err, log)
	}
	if got := read(t, again, "one"); got != "one" {
		t.Errorf("one is %q", got)
	}
}

func TestAFailedBuildNamesItsLine(t *testing.T) {
	f := open(t, nil)
	for _, c := range []struct{ name, dockerfile, want string }{
		{"command", "FROM busybox:1\n\nRUN echo before && false-is-missing\n", "line 3 of the Dockerfile (RUN echo before && false-is-missing): its command ended with exit code 127"},
		{"syntax", "FROM busybox:1\nRUNN echo\n", "unknown instruction: RUNN"},
		{"missing-file", "FROM busybox:1\nCOPY nothing /\n", "line 2 of the Dockerfile (COPY nothing /): /nothing is not among the files of the build"},
		{"missing-image", "FROM nothing:1\n", "line 1 of the Dockerfile"},
		{"platform", "FROM --platform=linux/s390x busybox:s390x\nCOPY . /\n", "for other machines than this one"},
		{"host-network", "FROM busybox:1\nRUN --network=host true\n", "network.host"},
		{"disk", "FROM busybox:1\nRUN dd if=/dev/zero of=/big bs=1M count=2000; sleep 60\n", ErrStepDisk.Error()},
		{"memory", "FROM busybox:1\nRUN dd if=/dev/zero of=/dev/null bs=1000M count=1\n", engine.ErrStepMemory.Error()},
		{"processes", "FROM busybox:1\nRUN i=0; while [ $i -lt 100000 ]; do sleep 60 & i=$((i+1)); done\n", engine.ErrStepPIDs.Error()},
		{"own-api", "FROM busybox:1\nADD " + busybox(t) + "/v2/ /x\n", ErrForbiddenAddress.Error()},
		{"metadata", "FROM busybox:1\nADD http://169.254.169.254/latest/user-data /x\n", ErrForbiddenAddress.Error()},
		{"git", "FROM busybox:1\nADD https://git.example/a/b.git /x\n", errGit.Error()},
		{"secret", "FROM busybox:1\nRUN --mount=type=secret,id=token,required=true true\n", "secret token: not found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, log, err := f.make(c.name, c.dockerfile, nil)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v\n%s", err, log)
			}
			if !strings.Contains(e.Message(), c.want) {
				t.Errorf("message is %q, want %q in it", e.Message(), c.want)
			}
		})
	}
}

func TestACancelledBuildEndsSoon(t *testing.T) {
	f := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var log buffer
	time.AfterFunc(2*time.Second, cancel)
	began := time.Now()
	_, err := f.Build(ctx, Request{ID: "long", Owner: "test/long", Dockerfile: "FROM busybox:1\nRUN sleep 1000\n", Log: &log})
	if !errors.Is(err, context.Canceled) || time.Since(began) > 10*time.Second {
		t.Errorf("it ended after %s: %v\n%s", time.Since(began), err, log.String())
	}
}

// As in docker build: lines may end as Windows ends them, but for what a heredoc
// holds, which is taken as it is.
func TestADockerfileOfWindowsIsBuilt(t *testing.T) {
	f := open(t, nil)
	img, log, err := f.make("windows", strings.ReplaceAll("FROM busybox:1\nENV word=two\nRUN echo -n one >/one && \\\n    echo -n $word >/two\nCOPY file /file\nCOPY <<END /three\nthree\nlines\nEND\nUSER user\n", "\n", "\r\n"), map[string]string{"file": "a\r\nb"})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for path, want := range map[string]string{"one": "one", "two": "two", "file": "a\r\nb", "three": "three\r\nlines"} {
		if got := read(t, img, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if img.DefaultUser != "user" {
		t.Errorf("it runs as %q", img.DefaultUser)
	}
}

func TestAnImageThatNamesNoArchitectureIsBuiltUpon(t *testing.T) {
	f := open(t, nil)
	img, log, err := f.make("unnamed", "FROM busybox:unnamed\nRUN echo -n here >/said\n", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := read(t, img, "said"); got != "here" {
		t.Errorf("the step says %q", got)
	}
}

func TestASecretThatIsNotRequiredIsNotThere(t *testing.T) {
	f := open(t, nil)
	img, log, err := f.make("secret", "FROM busybox:1\nRUN --mount=type=secret,id=token test ! -e /run/secrets/token && echo none >/said\n", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := read(t, img, "said"); got != "none" {
		t.Errorf("the step says %q", got)
	}
}

func TestABuildThatNeverEndsIsEnded(t *testing.T) {
	f := open(t, func(o *Options) { o.Timeout = 3 * time.Second })
	began := time.Now()
	_, log, err := f.make("endless", "FROM busybox:1\nRUN while true; do true; done\n", nil)
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Message(), "build-timeout") || time.Since(began) > 15*time.Second {
		t.Errorf("after %s: %v\n%s", time.Since(began), err, log)
	}
}

func TestWhatAStepSaysWithoutEndIsCut(t *testing.T) {
	f := open(t, nil)
	_, log, err := f.make("chatty", "FROM busybox:1\nRUN dd if=/dev/zero bs=1M count=100\nRUN echo the-next-step-is-heard\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(log) > 8<<20 || !strings.Contains(log, "output clipped") || !strings.Contains(log, "the-next-step-is-heard") {
		t.Errorf("the log has %d bytes and ends %q", len(log), log[max(0, len(log)-300):])
	}
}

// reaching lets ADD reach one address that no step may.
type reaching struct {
	Steps
	also netip.Addr
}

// CheckReach implements Steps.
func (r reaching) CheckReach(to netip.Addr) error {
	if to == r.also {
		return nil
	}
	return r.Steps.CheckReach(to)
}

func TestADDFetchesFromURLs(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://169.254.169.254/latest/user-data", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "fetched")
	}))
	defer web.Close()
	f := open(t, func(o *Options) { o.Steps = reaching{o.Steps, netip.MustParseAddr("127.0.0.1")} })
	img, log, err := f.make("url", "FROM busybox:1\nADD "+web.URL+"/file /got/\n", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := read(t, img, "got/file"); got != "fetched" {
		t.Errorf("the file is %q", got)
	}
	var e *Error
	_, log, err = f.make("redirected", "FROM busybox:1\nADD "+web.URL+"/away /x\n", nil)
	if !errors.As(err, &e) || !strings.Contains(e.Message(), ErrForbiddenAddress.Error()) {
		t.Errorf("a redirection to a metadata service: %v\n%s", err, log)
	}
}

// stands tells whether the image's root can be made: all its layers are there.
func (f *fixture) stands(img *image.Image) error {
	now, err := f.images.Image(f.t.Context(), img.Digest)
	if err != nil {
		return err
	}
	for _, layer := range now.Layers {
		if _, err := os.Stat(layer); err != nil {
			return err
		}
	}
	return nil
}

func TestTheCacheIsLimitedAndNeverTakesWhatIsHeld(t *testing.T) {
	f := open(t, func(o *Options) { o.CacheSize = 1 << 20 })
	made := map[int]*image.Image{}
	for i := range 6 {
		img, log, err := f.make(fmt.Sprintf("many-%d", i), fmt.Sprintf(`FROM busybox:1
RUN --mount=type=cache,target=/cache dd if=/dev/urandom of=/cache/kept-%[1]d bs=1M count=4
RUN dd if=/dev/urandom of=/dropped bs=1M count=8 && rm /dropped && echo %[1]d >/number
`, i), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		made[i] = img
	}
	// The builder does the same a minute after a build.
	cache, leave, err := f.use(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if err := cache.client.Prune(t.Context(), nil, client.PruneAll, client.WithKeepOpt(0, 0, f.CacheSize, 0)); err != nil {
		t.Fatal(err)
	}
	usage, err := cache.client.DiskUsage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, u := range usage {
		if !u.Shared && !u.InUse {
			size += u.Size
		}
	}
	if size > f.CacheSize {
		t.Errorf("the cache takes %d bytes, %d are allowed", size, f.CacheSize)
	}
	if err := f.images.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, img := range made {
		if err := f.stands(img); err != nil {
			t.Errorf("image %d: %v", i, err)
			continue
		}
		if got := read(t, img, "number"); got != fmt.Sprint(i) {
			t.Errorf("image %d has number %q", i, got)
		}
	}
}

// ofLayer is an image of one layer, and its configuration.
func ofLayer(t *testing.T, layer []byte) (v1.Image, *v1.ConfigFile) {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return img, config
}
