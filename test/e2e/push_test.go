package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// localImage is the fixture box with a file of so many bytes that nobody has.
func localImage(s *serve.Server, size int) v1.Image {
	s.T.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(s.Mirror, "http://")+"/library/"+box, name.Insecure)
	if err != nil {
		s.T.Fatal(err)
	}
	base, err := remote.Image(ref)
	if err != nil {
		s.T.Fatal(err)
	}
	text := make([]byte, size)
	_, _ = rand.Read(text) // never fails (crypto/rand)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Name: "pushed", Mode: 0o644, Size: int64(size)})
	if err == nil {
		_, err = w.Write(text)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		s.T.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		s.T.Fatal(err)
	}
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		s.T.Fatal(err)
	}
	return img
}

// layoutOf writes images into a directory in the OCI image layout.
func layoutOf(t *testing.T, add func(layout.Path) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = add(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAPushGoesOnWhenTheServerIsKilledInItsMiddle(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	ctx := serve.Within(t, 2*time.Minute)
	const size = 48 << 20
	img := localImage(s, size)
	dir := layoutOf(t, func(p layout.Path) error { return p.AppendImage(img) })

	inMiddle := make(chan struct{})
	once := sync.OnceFunc(func() { close(inMiddle) })
	pushed := make(chan error, 1)
	client := s.Client
	go func() {
		_, err := client.Snapshot.Push(ctx, daytona.PushSnapshotParams{Name: "pushed", Image: dir}, daytona.PushOptions{OnLayer: func(l daytona.LayerProgress) {
			if l.Size > size/2 && l.Sent > l.Size/4 && l.State == daytona.LayerSending {
				once()
			}
		}})
		pushed <- err
	}()
	select {
	case <-inMiddle:
	case err := <-pushed:
		t.Fatalf("the push ended before its middle: %v", err)
	}
	s.End(unix.SIGKILL)
	s.Start()
	if err := <-pushed; err != nil {
		t.Fatal(err)
	}
	found := s.Sandbox("pushed")
	if n := strings.TrimSpace(s.Output(found.ID, "wc -c </pushed")); n != "50331648" {
		t.Errorf("the file has %s bytes", n)
	}

	// What the snapshot needs again comes out of the registry, after a crash too.
	if err := s.Client.Snapshot.Deactivate(ctx, "pushed"); err != nil {
		t.Fatal(err)
	}
	if err := found.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	s.End(unix.SIGKILL)
	s.Start()
	if again, err := s.Client.Snapshot.Activate(ctx, "pushed"); err != nil || again.State != api.SnapshotActive {
		t.Fatalf("activate: %+v, %v", again, err)
	}
	s.Output(s.Sandbox("pushed").ID, "test -s /pushed")

	// The same again sends nothing.
	there := 0
	pushedAgain, err := s.Client.Snapshot.Push(ctx, daytona.PushSnapshotParams{Name: "again", Image: dir, From: daytona.FromOCI}, daytona.PushOptions{OnLayer: func(l daytona.LayerProgress) {
		switch l.State {
		case daytona.LayerSending:
			t.Errorf("layer %s is sent again", l.Digest)
		case daytona.LayerThere:
			there++
		}
	}})
	if err != nil || there != 2 {
		t.Fatalf("again: %v, %d layers were there", err, there)
	}

	// And a Dockerfile stands on it.
	build := daytona.Base(pushedAgain.ImageName).RunCommands("test -s /pushed && cp /pushed /copied")
	if _, err := s.Client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "on-it", Build: build}, nil); err != nil {
		t.Fatal(err)
	}
	s.Output(s.Sandbox("on-it").ID, "cmp /pushed /copied")
}

func TestImagesOfOtherPlatformsAreNotPushedAndIndexesAreChosenFrom(t *testing.T) {
	s := serve.New(t)
	ctx := serve.Within(t, time.Minute)
	index := func(repository string) v1.ImageIndex {
		ref, err := name.ParseReference(strings.TrimPrefix(s.Mirror, "http://")+"/"+repository, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		idx, err := remote.Index(ref)
		if err != nil {
			t.Fatal(err)
		}
		return idx
	}
	other := layoutOf(t, func(p layout.Path) error { return p.AppendIndex(index("fixtures/wrong-arch:1")) })
	_, err := s.Client.Snapshot.Push(ctx, daytona.PushSnapshotParams{Name: "other", Image: other}, daytona.PushOptions{OnLayer: func(daytona.LayerProgress) {
		t.Error("a layer was pushed")
	}})
	if !errors.Is(err, daytona.ErrInvalid) || !strings.Contains(err.Error(), "linux/s390x") || !strings.Contains(err.Error(), "--platform linux/") {
		t.Errorf("another platform: %v", err)
	}
	multi := layoutOf(t, func(p layout.Path) error { return p.AppendIndex(index("fixtures/multi-arch:1")) })
	if _, err := s.Client.Snapshot.Push(ctx, daytona.PushSnapshotParams{Name: "multi", Image: multi, Entrypoint: []string{"sleep", "1000"}}, daytona.PushOptions{}); err != nil {
		t.Fatal(err)
	}

	// The older archive of docker save; and a name that is taken.
	file := filepath.Join(t.TempDir(), "app.tar")
	tag, err := name.NewTag("team/app:1")
	if err == nil {
		err = tarball.WriteToFile(file, tag, localImage(s, 1000))
	}
	if err != nil {
		t.Fatal(err)
	}
	push := func(image string) error {
		_, err := s.Client.Snapshot.Push(ctx, daytona.PushSnapshotParams{Name: "archive", Image: image}, daytona.PushOptions{})
		return err
	}
	if err := push(file + ":team/app:1"); err != nil {
		t.Error(err)
	}
	if err := push(file); !errors.Is(err, daytona.ErrConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
}
