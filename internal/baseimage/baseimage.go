// Package baseimage makes what the default snapshots' image stands on from
// Debian's packages, for machines that reach no hub, and serves it as a registry
// would. It imports packages debian and durable, and images for the list of
// packages; package server builds and serves it.
package baseimage

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/baseimage/debian"
	"github.com/opendaytona/daytona/internal/durable"
)

// Config of Build.
type Config struct {
	Dir      string // holds the image
	Log      *slog.Logger
	Progress func(line string) // told to people who wait
}

// version changes with the recipe below.
var version = "trixie-" + recipeDigest()

func recipeDigest() string {
	sum := sha256.Sum256([]byte(strings.Join(append(images.Packages(), hooks...), "\n")))
	return hex.EncodeToString(sum[:4])
}

// Reference names the image. Its host is no registry's: package server makes it
// a mirror of what Handler serves.
func Reference() string { return "daytona.internal/base:" + version }

// hooks leave out what packages have made only to install themselves.
var hooks = []string{
	`rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/var/log/apt`,
	`: >"$1/etc/machine-id"`,
}

// Build makes the image in c.Dir unless this recipe's is there already. What a
// killed build left is removed. Errors: debian.ErrNoTool, and the end of the
// output of what failed.
func Build(ctx context.Context, c Config) error {
	done := filepath.Join(c.Dir, version)
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("build base image: %w", err)
	}
	// Everything else is of a killed build or of an older recipe.
	leftovers, err := os.ReadDir(c.Dir)
	if err != nil {
		return fmt.Errorf("build base image: %w", err)
	}
	for _, l := range leftovers {
		if err := os.RemoveAll(filepath.Join(c.Dir, l.Name())); err != nil {
			return fmt.Errorf("build base image: %w", err)
		}
	}
	work, err := os.MkdirTemp(c.Dir, "building-")
	if err != nil {
		return fmt.Errorf("build base image: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(work); err != nil {
			c.Log.Warn("remove the base image's working directory", "err", err)
		}
	}()
	if err := build(ctx, c, work, done); err != nil {
		return fmt.Errorf("build base image: %w", err)
	}
	return nil
}

func build(ctx context.Context, c Config, work, done string) error {
	// The tool's own user must get through.
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	tar := filepath.Join(work, "root.tar")
	root := debian.Root{Suite: "trixie", Packages: images.Packages(), Hooks: hooks, Progress: c.Progress}
	if err := debian.Make(ctx, root, tar); err != nil {
		return err
	}
	c.Progress("packing the image")
	layer, err := tarball.LayerFromFile(tar, tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	if img, err = mutate.ConfigFile(img, config(img)); err != nil {
		return err
	}
	made := filepath.Join(work, "image")
	index, err := layout.Write(made, empty.Index)
	if err != nil {
		return err
	}
	if err := index.AppendImage(img); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := durable.SyncFilesystem(made); err != nil {
		return err
	}
	return durable.Rename(made, done)
}

func config(img v1.Image) *v1.ConfigFile {
	file, err := img.ConfigFile()
	if err != nil {
		file = &v1.ConfigFile{}
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: time.Now().UTC()}
	file.Config = v1.Config{
		Env:    []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels: map[string]string{"org.opencontainers.image.version": version, "org.opencontainers.image.title": "Daytona base"},
	}
	return file
}

// Handler serves the image that Build made in dir, as the pulling half of OCI's
// distribution API: under any name, the version as its tag.
func Handler(dir string) (http.Handler, error) {
	path := layout.Path(filepath.Join(dir, version))
	index, err := path.ImageIndex()
	if err != nil {
		return nil, fmt.Errorf("serve base image: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err == nil && len(manifest.Manifests) != 1 {
		err = fmt.Errorf("%s holds %d images", path, len(manifest.Manifests))
	}
	if err != nil {
		return nil, fmt.Errorf("serve base image: %w", err)
	}
	return &registry{path: path, image: manifest.Manifests[0]}, nil
}

// registry serves one image out of an OCI layout.
type registry struct {
	path  layout.Path
	image v1.Descriptor
}

// ServeHTTP implements http.Handler.
func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "this registry is read only", http.StatusMethodNotAllowed)
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	if r.URL.Path == "/v2/" || len(parts) < 3 {
		return
	}
	kind, ref := parts[len(parts)-2], parts[len(parts)-1]
	switch {
	case kind == "manifests" && (ref == version || ref == g.image.Digest.String()):
		w.Header().Set("Content-Type", string(g.image.MediaType))
		g.blob(w, r, g.image.Digest)
	case kind == "blobs":
		digest, err := v1.NewHash(ref)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		g.blob(w, r, digest)
	default:
		http.NotFound(w, r)
	}
}

func (g *registry) blob(w http.ResponseWriter, r *http.Request, digest v1.Hash) {
	f, err := os.Open(filepath.Join(string(g.path), "blobs", digest.Algorithm, digest.Hex))
	if errors.Is(err, os.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	w.Header().Set("Docker-Content-Digest", digest.String())
	http.ServeContent(w, r, "", time.Time{}, f)
}
