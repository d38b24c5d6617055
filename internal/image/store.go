package image

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/singleflight"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/oci"
)

// ErrNotFound says that an image is not on this machine.
var ErrNotFound = oci.ErrNotFound

// repositoriesKnown is for how many repositories tokens are kept.
const repositoriesKnown = 256

// Namespace is where the metadata database keeps everything of ours.
const Namespace = "daytona"

// snapshotter is the name of the only one there is.
const snapshotter = "overlayfs"

// Mirror stands in for a registry.
type Mirror struct {
	URL string // "http://127.0.0.1:5000" or "https://mirror.example/path"
}

// Options of Open.
type Options struct {
	Dir       string              // holds everything
	Mirrors   map[string][]Mirror // by registry host ("docker.io"): tried in order, then the host itself
	PlainHTTP []string            // hosts, with their port, that are spoken to without TLS
	Transport *http.Transport     // to registries; nil is the default one
	Parallel  int                 // layers at once; 0 is 4
	Stall     time.Duration       // how long a registry may send nothing; 0 is a minute
	MaxSize   int64               // bytes that an image may take, unpacked; 0 is no limit
	MaxFiles  int64               // files that it may have; 0 is no limit
	Log       *slog.Logger

	// CheckReach fails for an address to which no registry may send, such as
	// this machine's; nil leaves it at what the address alone tells.
	CheckReach func(to netip.Addr) error
}

// Store keeps images. Its methods may run at once.
type Store struct {
	Options
	bolt   *bolt.DB
	meta   *metadata.DB
	leases leases.Manager
	flight singleflight.Group
	left   sync.WaitGroup // work of the flight that nobody waits for any more
	known  sync.Map       // digest → *unpacked
	pulls  pullLeases

	transport *http.Transport // to registries
	ways      ways            // to where they send
	tokensMu  sync.Mutex
	tokens    *lru.Cache[[sha256.Size]byte, *tokens] // by registry, repository and credential

	collect    chan struct{} // asks for a collection
	collecting sync.Mutex
	stop       context.CancelFunc
	stopped    chan struct{}
}

// Open opens the store in o.Dir, creating it where there is none.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	s := &Store{Options: o, collect: make(chan struct{}, 1), stopped: make(chan struct{})}
	s.transport = s.openTransport()
	s.ways = s.openWays()
	s.tokens, _ = lru.New[[sha256.Size]byte, *tokens](repositoriesKnown) // fails for no size only
	if err := s.open(ctx); err != nil {
		if s.bolt != nil {
			err = errors.Join(err, s.bolt.Close())
		}
		return nil, fmt.Errorf("open image store %s: %w", o.Dir, err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(s.in(ctx)))
	s.stop = stop
	go s.collector(background)
	s.wantCollection()
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	// Sandboxes reach the layers through an idmapped mount of this directory,
	// as other users than root.
	if err := durable.MkdirAll(s.Dir, 0o711); err != nil {
		return err
	}
	content := filepath.Join(s.Dir, "content")
	// The store syncs what it puts there.
	if err := durable.MkdirAll(filepath.Join(content, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	blobs, err := local.NewStore(content)
	if err != nil {
		return err
	}
	// The store makes its directories and blobs readable for all.
	if err := os.Chmod(content, 0o700); err != nil {
		return err
	}
	layers, err := overlay.NewSnapshotter(filepath.Join(s.Dir, "layers"))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, layers.Close())
		}
	}()
	if err := s.refuseLoss(); err != nil {
		return err
	}
	// What a killed server left half made has a number that the next snapshot
	// gets, and would keep it from being made.
	if err := layers.(snapshots.Cleaner).Cleanup(ctx); err != nil && !errdefs.IsNotFound(err) { // as in a new store
		return fmt.Errorf("remove what is left of layers: %w", err)
	}
	if s.bolt, err = bolt.Open(filepath.Join(s.Dir, metadataName), 0o600, &bolt.Options{Timeout: 10 * time.Second}); err != nil {
		return fmt.Errorf("open metadata (is another server using it?): %w", err)
	}
	s.meta = metadata.NewDB(s.bolt, blobs, map[string]snapshots.Snapshotter{snapshotter: layers})
	if err := s.meta.Init(ctx); err != nil {
		return err
	}
	s.leases = metadata.NewLeaseManager(s.meta)
	// The databases sync their transactions, and not that there are databases.
	for _, dir := range []string{s.Dir, s.LayersDir()} {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := s.keepBrokenPulls(s.in(ctx)); err != nil {
		return err
	}
	return s.freeLeftovers(s.in(ctx))
}

const metadataName = "metadata.db"

// refuseLoss ends the opening of a store whose metadata is gone: the first
// collection would free every image, for new metadata knows none.
func (s *Store) refuseLoss() error {
	file := filepath.Join(s.Dir, metadataName)
	if info, err := os.Stat(file); err == nil && info.Size() > 0 {
		return nil
	}
	blobs, err := os.ReadDir(filepath.Join(s.Dir, "content", "blobs", "sha256"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(blobs) == 0 {
		return nil
	}
	return fmt.Errorf("%s is gone or empty, which knows the images that are here: restore it from a backup; or move %s away, after which sandboxes start when their snapshots have brought their images again", file, s.Dir)
}

// Close waits for what cancelled pulls have left to end, stops the collector and
// closes the database. No method may be running.
func (s *Store) Close() error {
	s.left.Wait()
	s.stop()
	<-s.stopped
	s.ways.close()
	return errors.Join(s.meta.Snapshotter(snapshotter).Close(), s.bolt.Close())
}

func (s *Store) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

func (s *Store) content() content.Store { return s.meta.ContentStore() }

// LayersDir is the directory that all layers are below.
func (s *Store) LayersDir() string { return filepath.Join(s.Dir, "layers") }

// temporary returns a context under whose lease nothing is collected until done
// is called, the store is opened again, or a day has passed.
func (s *Store) temporary(ctx context.Context) (context.Context, func(), error) {
	lease, err := s.leases.Create(ctx, leases.WithID(temporaryPrefix+uuid.NewString()), leases.WithExpiration(24*time.Hour))
	if err != nil {
		return ctx, nil, err
	}
	return leases.WithLease(ctx, lease.ID), func() {
		if err := s.leases.Delete(context.WithoutCancel(ctx), lease); err != nil && !errdefs.IsNotFound(err) {
			s.Log.Warn("delete lease", "lease", lease.ID, "err", err)
		}
	}, nil
}

func (s *Store) readJSON(ctx context.Context, desc ocispec.Descriptor, into any) error {
	b, err := content.ReadBlob(ctx, s.content(), desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %s: %w", errInvalid, desc.Digest, err)
	}
	return nil
}
