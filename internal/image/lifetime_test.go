package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Whatever is pulled, held, released and collected at once, who holds an image
// has all of its layers on disk, and who holds none costs nothing. Workers follow
// scripts made from a seed, which DAYTONA_TEST_SEED gives again.
func TestWhoHoldsAnImageHasItsLayersInAnyOrderOfEvents(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("DAYTONA_TEST_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("DAYTONA_TEST_SEED=%d", seed)
	h := newHub(t)
	var delays sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	h.fail(func(http.ResponseWriter, *http.Request) bool {
		delays.Lock()
		delay := time.Duration(random.IntN(3)) * time.Millisecond
		delays.Unlock()
		time.Sleep(delay)
		return false
	})
	// Images that share all layers, one layer, and none, with enough files for
	// their removal to take a moment.
	many := func(name string) v1.Layer {
		var all []entry
		for i := range 300 {
			all = append(all, file(fmt.Sprintf("%s/%d", name, i), name))
		}
		return layerOf(t, append(all, file("mark-"+name, name))...)
	}
	base, other := many("base"), many("other")
	images := []modelImage{
		{ref: "app:1", layers: []string{"base", "other"}}, {ref: "app:2", layers: []string{"base", "other"}}, {ref: "app:3", layers: []string{"base"}}, {ref: "app:4", layers: []string{"alone"}},
	}
	for i, img := range []v1.Image{
		imageOf(t, v1.Config{WorkingDir: "/1"}, base, other), imageOf(t, v1.Config{WorkingDir: "/2"}, base, other), imageOf(t, v1.Config{}, base), imageOf(t, v1.Config{}, many("alone")),
	} {
		h.push(t, "library/"+images[i].ref, img)
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		images[i].digest = d.String()
	}
	s := openPatient(t, t.TempDir(), h, 10*time.Second)
	defer closeStore(t, s)
	var workers sync.WaitGroup
	for n := range 4 {
		w := modelWorker{t: t, store: s, images: images, random: rand.New(rand.NewPCG(seed, uint64(n+1))), name: fmt.Sprintf("worker-%d", n), holds: map[string]modelImage{}}
		workers.Go(func() {
			for range 40 {
				if t.Failed() {
					break
				}
				w.step()
			}
			w.releaseAll()
		})
	}
	workers.Wait()
	if t.Failed() {
		return
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		if _, err := s.Image(t.Context(), img.digest); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s, which nobody holds: %v", img.ref, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.LayersDir(), "snapshots", "*")); err != nil || len(left) > 0 {
		t.Errorf("layers that nobody holds: %v, %v", left, err)
	}
	if left, err := s.leases.List(s.in(t.Context())); err != nil || len(left) > 0 {
		t.Errorf("leases of nobody: %v, %v", left, err)
	}
}

type modelImage struct {
	ref, digest string
	layers      []string // their names, lowest first
}

// modelWorker has owners of its own, so it knows what each must hold.
type modelWorker struct {
	t      *testing.T
	store  *Store
	images []modelImage
	random *rand.Rand
	name   string
	holds  map[string]modelImage // by owner
}

func (w *modelWorker) step() {
	ctx := w.t.Context()
	owner := fmt.Sprintf("%s/%d", w.name, w.random.IntN(2))
	img := w.images[w.random.IntN(len(w.images))]
	switch w.random.IntN(11) {
	case 0, 1, 2, 3:
		got, err := w.store.Pull(ctx, img.ref, PullOptions{Owner: owner})
		if err != nil {
			w.t.Errorf("%s pulls %s: %v", owner, img.ref, err)
			return
		}
		w.holds[owner] = img
		w.look(owner, img, got)
	case 4, 5:
		err := w.store.Hold(ctx, owner, img.digest)
		switch {
		case err == nil:
			w.holds[owner] = img
		case !errors.Is(err, ErrNotFound):
			w.t.Errorf("%s holds %s: %v", owner, img.ref, err)
		}
	case 6, 7:
		w.release(ctx, owner)
	case 8:
		if err := w.store.Collect(ctx); err != nil {
			w.t.Error(err)
		}
	case 9:
		w.commit(ctx, owner)
	default:
		if _, err := w.store.Image(ctx, img.digest); err != nil && !errors.Is(err, ErrNotFound) {
			w.t.Errorf("%s, which may go meanwhile: %v", img.ref, err)
		}
	}
	for owner, img := range w.holds {
		got, err := w.store.Image(ctx, img.digest)
		if err != nil {
			w.t.Errorf("%s, which %s holds: %v", img.ref, owner, err)
			continue
		}
		w.look(owner, img, got)
	}
}

// commit makes an image of what an owner holds and one layer more.
func (w *modelWorker) commit(ctx context.Context, owner string) {
	base, holds := w.holds[owner]
	if !holds {
		return
	}
	img, err := w.store.Commit(ctx, owner, base.digest, func(_ context.Context, layer io.Writer) error {
		archive := tar.NewWriter(layer)
		for _, name := range []string{"mark-top", "top/0", "top/299"} {
			if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 3}); err != nil {
				return err
			}
			if _, err := io.WriteString(archive, "top"); err != nil {
				return err
			}
		}
		return archive.Close()
	})
	if err != nil {
		w.t.Errorf("%s commits on %s: %v", owner, base.ref, err)
		return
	}
	w.holds[owner] = modelImage{ref: base.ref + " and a layer", digest: img.Digest, layers: append(slices.Clone(base.layers), "top")}
}

func (w *modelWorker) look(owner string, want modelImage, got *Image) {
	if got.Digest != want.digest || len(got.Layers) != len(want.layers) {
		w.t.Errorf("%s, which %s holds: %+v", want.ref, owner, got)
		return
	}
	for i, name := range want.layers {
		dir := got.Layers[len(got.Layers)-1-i]
		for _, path := range []string{"mark-" + name, name + "/0", name + "/299"} {
			if text, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(text) != name {
				w.t.Errorf("layer %s of %s, which %s holds: %q, %v", name, want.ref, owner, text, err)
				return
			}
		}
	}
}

func (w *modelWorker) release(ctx context.Context, owner string) {
	if err := w.store.Release(ctx, owner); err != nil {
		w.t.Errorf("release %s: %v", owner, err)
	}
	delete(w.holds, owner)
}

func (w *modelWorker) releaseAll() {
	for n := range 2 {
		w.release(w.t.Context(), fmt.Sprintf("%s/%d", w.name, n))
	}
}

// A collection removes layers some time before it is done with them: an image that
// comes back in between is not taken for the one that goes.
func TestAnImageThatComesBackDuringACollectionHasItsNewLayers(t *testing.T) {
	h := newHub(t)
	h.push(t, "library/app:1", imageOf(t, v1.Config{}, layerOf(t, file("here", "here"))))
	s := openPatient(t, t.TempDir(), h, 10*time.Second)
	defer closeStore(t, s)
	ctx := t.Context()
	first, err := s.Pull(ctx, "app:1", PullOptions{Owner: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deleteLease(s.in(ctx), ownerPrefix+"first"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.meta.GarbageCollect(s.in(ctx)); err != nil { // what comes first in a collection
		t.Fatal(err)
	}
	if err := s.Hold(ctx, "nobody", first.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("hold what is gone: %v", err)
	}
	again, err := s.Pull(ctx, "app:1", PullOptions{Owner: "again"})
	if err != nil {
		t.Fatal(err)
	}
	later, err := s.Image(ctx, first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []*Image{again, later} {
		if text, err := os.ReadFile(filepath.Join(got.Layers[0], "here")); err != nil || string(text) != "here" {
			t.Errorf("its layer is %s, it was %s: %q, %v", got.Layers[0], first.Layers[0], text, err)
		}
	}
}
