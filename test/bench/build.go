package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// builds is a directory with a Dockerfile, built by us and by docker in turns.
type builds struct {
	*bench
	dir         string
	seq         int
	ours, peers []float64
	names, tags []string
}

// once builds the directory once here and once there. All but the name of the
// base image is the same.
func (b *builds) once(ctx context.Context, text string, count bool) error {
	b.seq++
	write := func(base string) error {
		return os.WriteFile(filepath.Join(b.dir, "Dockerfile"), []byte("FROM "+base+"\n"+text), 0o600)
	}
	if err := write(b.image); err != nil {
		return err
	}
	name := fmt.Sprintf("bench-build-%d-%d", os.Getpid(), b.seq)
	began := time.Now()
	_, err := b.client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: name, Build: daytona.FromDockerfile(filepath.Join(b.dir, "Dockerfile"))}, nil)
	took := time.Since(began)
	b.names = append(b.names, name)
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	if count {
		b.ours = append(b.ours, float64(took.Microseconds())/1000)
	}
	if b.docker == nil {
		return nil
	}
	if err := write(b.docker.image); err != nil {
		return err
	}
	b.tags = append(b.tags, name)
	began = time.Now()
	if err := b.docker.build(ctx, name, b.dir); err != nil {
		return err
	}
	if count {
		b.peers = append(b.peers, float64(time.Since(began).Microseconds())/1000)
	}
	return nil
}

// row ends a measurement.
func (b *builds) row(name string) {
	slices.Sort(b.ours)
	b.add(name, "ms", b.ours, b.peers)
	b.ours, b.peers = nil, nil
}

func (b *builds) source(text string) error {
	return os.WriteFile(filepath.Join(b.dir, "main.py"), []byte(text), 0o600)
}

// withBuilds lends measure a directory, and removes what it has built.
func (b *bench) withBuilds(ctx context.Context, measure func(*builds) error) (err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &builds{bench: b, dir: dir}
	defer func() {
		for _, name := range w.names {
			err = errors.Join(err, b.client.Snapshot.Delete(context.WithoutCancel(ctx), name))
		}
		if len(w.tags) > 0 {
			_, rmErr := output(context.WithoutCancel(ctx), "docker", append([]string{"rmi", "--force"}, w.tags...)...)
			err = errors.Join(err, rmErr)
		}
	}()
	return measure(w)
}

// build is a snapshot of a Dockerfile from the request until it is active,
// beside docker build (BuildKit) until the image is tagged.
func (b *bench) build(ctx context.Context) error {
	return b.withBuilds(ctx, func(w *builds) error { return w.steps(ctx) })
}

// context is a build of many bytes of files.
func (b *bench) context(ctx context.Context) error {
	return b.withBuilds(ctx, func(w *builds) error {
		for range 3 {
			if err := errors.Join(w.large(500<<20), w.once(ctx, "COPY large /large\n", true)); err != nil {
				return err
			}
		}
		w.row("build, 500 MiB of files")
		return nil
	})
}

func (w *builds) steps(ctx context.Context) error {
	const runs = 7
	mark := fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano())
	dockerfile := func(i int) string {
		return fmt.Sprintf("ENV MARK=%s-%d\nRUN python3 -m compileall -q /usr/lib/python3 >/dev/null 2>&1; echo dependencies >/dependencies\nCOPY main.py /src/\nRUN python3 /src/main.py >/said\n", mark, i)
	}
	for i := range runs + 1 {
		if err := errors.Join(w.source("print('one')\n"), w.once(ctx, dockerfile(i), i > 0)); err != nil {
			return err
		}
	}
	w.row("build, cold")
	for i := range runs + 1 {
		if err := errors.Join(w.source(fmt.Sprintf("print(%d)\n", i)), w.once(ctx, dockerfile(0), i > 0)); err != nil {
			return err
		}
	}
	w.row("build, one line changed")
	for i := range 3*runs + 1 {
		if err := w.once(ctx, dockerfile(0), i > 0); err != nil {
			return err
		}
	}
	w.row("build, the same again")
	for i := range 3*runs + 1 {
		if err := w.once(ctx, dockerfile(0)+fmt.Sprintf("# comment %d\n", i), i > 0); err != nil {
			return err
		}
	}
	w.row("build, all steps cached")
	return nil
}

// large puts so many bytes into the directory that no cache knows.
func (b *builds) large(size int64) error {
	f, err := os.Create(filepath.Join(b.dir, "large"))
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, size)
	return errors.Join(err, f.Close())
}
