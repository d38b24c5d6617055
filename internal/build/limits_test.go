package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/opendaytona/daytona/internal/image"
)

// stored is how many files the image store has, and what they take.
func (f *fixture) stored() (files, bytes int64) {
	f.t.Helper()
	err := filepath.WalkDir(f.images.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it goes while we look
		}
		if info, err := d.Info(); err == nil {
			files, bytes = files+1, bytes+info.Sys().(*syscall.Stat_t).Blocks*512
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files, bytes
}

// push gives the registry an image of one layer, which fill writes.
func push(t *testing.T, tag string, fill func(w *tar.Writer) error) {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := errors.Join(fill(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	img, config := ofLayer(t, layer.Bytes())
	config.Architecture, config.OS = runtime.GOARCH, "linux"
	img, err := mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(busybox(t), "http://")+"/library/"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

// Each of these would fill a disk, or take the machine's inodes. Another
// organization builds meanwhile, and the next build of the same one finds room.
func TestHostileBuildsEndAtTheirLimitsAndHarmNobodyElse(t *testing.T) {
	const mib = 1 << 20
	f := openWith(t, func(o *image.Options) { o.MaxSize, o.MaxFiles = 200*mib, 20_000 }, func(o *Options) { o.CacheSize = 100 * mib })
	push(t, "large:1", func(w *tar.Writer) error {
		err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: 300 * mib})
		_, writeErr := io.CopyN(w, zeros{}, 300*mib)
		return errors.Join(err, writeErr)
	})
	push(t, "many:1", func(w *tar.Writer) (err error) {
		for i := 0; i < 30_000 && err == nil; i++ {
			err = w.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Typeflag: tar.TypeReg, Mode: 0o644})
		}
		return err
	})
	for _, c := range []struct{ name, dockerfile, want string }{
		{"writes without end", "FROM busybox:1\nRUN dd if=/dev/zero of=/big bs=1M\n", "build-disk"},
		{"an unlinked file", "FROM busybox:1\nRUN exec 3>/big; rm /big; cat /dev/zero >&3\n", "build-disk"},
		{"goes on at the limit", "FROM busybox:1\nRUN while true; do dd if=/dev/zero of=/big bs=1M; done\n", "build-disk"},
		{"on a root of its own", "FROM scratch\nCOPY --from=busybox:1 / /\nRUN [\"/bin/busybox\", \"dd\", \"if=/dev/zero\", \"of=/big\", \"bs=1M\"]\n", "build-disk"},
		{"in steps", "FROM busybox:1\n" + strings.Repeat("RUN dd if=/dev/urandom of=/big bs=1M count=50\n", 6), "build-disk"},
		{"side by side", sideBySide(6), "build-disk"},
		{"files without end", "FROM busybox:1\nRUN mkdir /many; cd /many; i=0; while touch $i $i-a $i-b $i-c $i-d $i-e $i-f $i-g $i-h; do i=$((i+1)); done; exit 1\n", "build-disk"},
		{"files that fit the disk", "FROM busybox:1\nRUN mkdir /many; cd /many; i=0; while [ $i -lt 3000 ]; do touch $i $i-a $i-b $i-c $i-d $i-e $i-f $i-g $i-h; i=$((i+1)); done\n", "it has more than 20000 files (image-files)"},
		{"a cache mount", "FROM busybox:1\nRUN --mount=type=cache,target=/cache dd if=/dev/zero of=/cache/big bs=1M\n", "build-disk"},
		{"cache mounts", "FROM busybox:1\n" + cacheMounts(6), "build-disk"},
		{"a layer that unpacks to too much", "FROM large:1\nCOPY . /\n", "unpacked it takes more than 200 MiB (image-disk)"},
		{"a layer of too many files", "FROM many:1\nCOPY . /\n", "it has more than 20000 files (image-files)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			files, bytes := f.stored()
			neighbour := make(chan error, 1)
			id := strings.ReplaceAll(c.name, " ", "-")
			go func() {
				_, log, err := f.makeFor("neighbour", "neighbour-of-"+id, "FROM busybox:1\nRUN dd if=/dev/urandom of=/x bs=1M count=20 && echo "+id+"\n")
				if err != nil {
					err = fmt.Errorf("%w\n%s", err, log)
				}
				neighbour <- err
			}()
			_, log, err := f.makeFor("hostile", id, c.dockerfile)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Message(), c.want) {
				t.Errorf("it ended with %v\n%s", err, tail(log))
			} else {
				t.Log(e.Message())
			}
			if err := <-neighbour; err != nil {
				t.Errorf("the neighbour's: %v", err)
			}
			if _, log, err := f.makeFor("hostile", "after-"+id, "FROM busybox:1\nRUN dd if=/dev/urandom of=/x bs=1M count=40 && echo after "+id+"\n"); err != nil {
				t.Errorf("the next build: %v\n%s", err, tail(log))
			}
			if now, size := f.stored(); now-files > 10_000 || size-bytes > 300*mib {
				t.Errorf("it left %d files and %d MiB in the image store", now-files, (size-bytes)/mib)
			}
		})
	}
}

func TestAContextThatIsTooLargeEndsItsBuild(t *testing.T) {
	f := open(t, nil)
	for name, fill := range map[string]func(dir string) error{
		"large": func(dir string) error {
			w, err := os.Create(filepath.Join(dir, "zeros"))
			if err != nil {
				return err
			}
			defer w.Close()
			_, err = io.CopyN(w, zeros{}, 200<<20)
			return err
		},
		"many files": func(dir string) (err error) {
			for i := 0; i < 1_000_000 && err == nil; i++ {
				err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%d", i)), nil, 0o600)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log buffer
			_, err := f.Build(t.Context(), Request{
				ID: "context", Owner: "test/context", Scope: "one", Dockerfile: "FROM busybox:1\nCOPY . /\n", Log: &log,
				Fill: func(_ context.Context, dir string) error { return fill(dir) },
			})
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Message(), "build-disk") {
				t.Errorf("it ended with %v\n%s", err, log.String())
			}
			if names, err := f.Disks.List(); err != nil || len(names) > 0 {
				t.Errorf("disks are left: %v, %v", names, err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// tail is the end of a log.
func tail(log string) string { return log[max(0, len(log)-3000):] }

// sideBySide are stages that are built at once.
func sideBySide(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "FROM busybox:1 AS s%d\nRUN dd if=/dev/urandom of=/big bs=1M count=50 && sleep 1 && echo %d\n", i, i)
	}
	b.WriteString("FROM busybox:1\n")
	for i := range n {
		fmt.Fprintf(&b, "COPY --from=s%d /bin/sh /sh%d\n", i, i)
	}
	return b.String()
}

func cacheMounts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "RUN --mount=type=cache,target=/cache%[1]d dd if=/dev/zero of=/cache%[1]d/big bs=1M count=50\n", i)
	}
	return b.String()
}
