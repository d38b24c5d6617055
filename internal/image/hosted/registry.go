// Package hosted is the registry that this server is itself: the place to push
// local images to, so that snapshots can be made of them. Everything in it is
// on its way to a snapshot or belongs to one; what is neither is collected
// (collect.go). Each organization has one project, a registry of its own
// (distribution's, in a directory of its own): nothing that its clients ask can
// lead into another's. Package server mounts the
// handler and gives its images to pulls. Look next at handler.go.
package hosted

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/signedtoken"
)

// Options of Open.
type Options struct {
	Dir   string        // holds everything
	Quota int64         // bytes of one organization
	Keep  time.Duration // how long what no snapshot uses stays after its last use
	// Origin is where the client of a request reached us: scheme and host.
	Origin func(*http.Request) string
	// Kept lists the images that snapshots are made of, and will be pulled again.
	Kept func(context.Context) ([]Reference, error)
	// Hold reports whether there may be others that are not listed, so that none
	// may go; nil is never.
	Hold func() bool
	// Continue fails unless the API key that an access was made for is still good,
	// and ends the request's context with it. Errors: *fault.Error.
	Continue func(ctx context.Context, keyHash string) error
	Log      *slog.Logger
}

// Registry is all projects.
type Registry struct {
	Options
	key  signedtoken.Key
	wake chan struct{} // asks for a collection

	mu       sync.Mutex
	projects map[string]*project // by organization
	closed   bool
}

// Open opens the registry in o.Dir, creating it where there is none.
func Open(o Options) (*Registry, error) {
	r := &Registry{Options: o, wake: make(chan struct{}, 1), projects: make(map[string]*project)}
	err := durable.MkdirAll(r.projectsDir(), 0o700)
	if err == nil {
		r.key, err = signedtoken.LoadKey(filepath.Join(r.Dir, "key"))
	}
	if err != nil {
		return nil, fmt.Errorf("open registry %s: %w", r.Dir, err)
	}
	return r, nil
}

func (r *Registry) projectsDir() string { return filepath.Join(r.Dir, "projects") }

// Close ends the projects; no request may be going on.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var errs []error
	for _, p := range r.projects {
		errs = append(errs, p.app.Shutdown())
	}
	return errors.Join(errs...)
}

// project is what one organization has pushed. Its repositories are named
// after it: {organization}/{name}.
type project struct {
	organizationID string
	root           string
	app            *handlers.App
	content        distribution.Namespace
	vacuum         storage.Vacuum

	// gate is held by whatever counts on content that is there already, and by
	// a collection alone. A collection never waits for it.
	gate sync.RWMutex
	used atomic.Int64 // bytes, as far as is known
}

// organizationPattern is what an organization's id must be to name a directory
// and to begin the name of a repository.
var organizationPattern = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

var errClosed = errors.New("the registry is closed")

// project opens an organization's, which need not have anything.
func (r *Registry) project(organizationID string) (*project, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.projects[organizationID]; p != nil {
		return p, nil
	}
	if r.closed {
		return nil, errClosed
	}
	if !organizationPattern.MatchString(organizationID) {
		return nil, fmt.Errorf("%q is no organization", organizationID)
	}
	p := &project{organizationID: organizationID, root: filepath.Join(r.projectsDir(), organizationID)}
	used, err := size(p.root)
	if err != nil {
		return nil, fmt.Errorf("open project %s: %w", organizationID, err)
	}
	p.used.Store(used)
	ctx := context.Background() // ends by Close
	driver := filesystem.New(filesystem.DriverParameters{RootDirectory: p.root, MaxThreads: maxThreads})
	if p.content, err = storage.NewRegistry(ctx, driver, storage.EnableDelete); err != nil {
		return nil, fmt.Errorf("open project %s: %w", organizationID, err)
	}
	p.vacuum = storage.NewVacuum(ctx, driver)
	p.app = handlers.NewApp(ctx, r.configuration(p.root))
	r.projects[organizationID] = p
	return p, nil
}

// maxThreads are file operations at once in a project.
const maxThreads = 64

func (r *Registry) configuration(root string) *configuration.Configuration {
	c := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": root, "maxthreads": maxThreads},
		"redirect":   {"disable": true},
		// Collections do it, and they know what is being pushed. No cache:
		// they take away what one would remember.
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	c.HTTP.Secret = string(r.key.MAC("uploads", root)) // uploads go on after a restart
	c.HTTP.RelativeURLs = true                         // proxies may stand before us
	return c
}

// exists reports whether an organization has pushed anything.
func (r *Registry) exists(organizationID string) bool {
	_, err := os.Lstat(filepath.Join(r.projectsDir(), organizationID))
	return organizationPattern.MatchString(organizationID) && err == nil
}
