// Package objectstore keeps the archives that builds copy files from, behind an
// S3 endpoint (versitygw over a directory) that clients upload them to. Who
// may upload where is in the credentials themselves (credentials.go); nothing
// of them is stored. It imports only package grant of the house; package server
// mounts the handler and gives the archives to the builder. Look next at
// handler.go.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http/httputil"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/opendaytona/daytona/internal/grant"
)

// Bucket is the only one there is.
const Bucket = "daytona-contexts"

// Region is what clients sign with; it means nothing.
const Region = "us-east-1"

// archiveName is what each archive is called, in a directory of its hash.
const archiveName = "context.tar"

// Contexts keeps archives: Store here, Remote in an S3 of the operator's.
type Contexts interface {
	// Place is where clients upload.
	Place() Place
	// Access makes credentials for uploads below the organization's prefix.
	Access(ctx context.Context, organizationID string) (Credentials, error)
	// Context opens an uploaded archive, a tar file. Errors: ErrNotFound.
	Context(ctx context.Context, organizationID, hash string) (io.ReadCloser, error)
	// Run removes what nothing uses any more until ctx ends.
	Run(ctx context.Context) error
}

// Place is a bucket. URL is "" where it is at this server's own address.
type Place struct{ URL, Bucket, Region string }

// ErrNotFound says that an archive was not uploaded, or has expired.
var ErrNotFound = errors.New("context was not uploaded")

// Options of Open.
type Options struct {
	Dir     string        // holds everything
	MaxSize int64         // bytes of one upload request
	Life    time.Duration // of an archive that no build uses
	// Needed tells which archives will be built of again, however old; nil is none.
	Needed func(context.Context) (func(organizationID, hash string) bool, error)
	Log    *slog.Logger
}

// Store is the archives and their endpoint.
type Store struct {
	Options
	key    grant.Key // seals credentials
	server *s3api.S3ApiServer
	socket string // the endpoint's, abstract (unix(7)): gone with the process
	proxy  *httputil.ReverseProxy
	served chan error
}

// Open opens the store in o.Dir, creating it where there is none.
func Open(o Options) (*Store, error) {
	s := &Store{Options: o, socket: "@daytona-contexts-" + uuid.NewString(), served: make(chan error, 1)}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open context store %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if err := os.MkdirAll(s.bucketDir(), 0o700); err != nil {
		return err
	}
	if s.key, err = grant.LoadKey(filepath.Join(s.Dir, "key")); err != nil {
		return err
	}
	// This makes the directory the process's own, below which versitygw names
	// everything; so there is one open store in a process, and all other paths
	// of it must be absolute.
	backend, err := posix.New(s.objectsDir(), meta.XattrMeta{}, posix.PosixOpts{NewDirPerm: 0o700, NewFilePerm: 0o600})
	if err != nil {
		return err
	}
	s.server, err = s3api.New(backend, middlewares.RootUserConfig{}, Region, signer{s}, nil, nil, nil, nil, s3api.WithQuiet(), s3api.WithDisableACL(), s3api.WithConcurrencyLimiter(maxUploads, maxUploads))
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	s3api.WithOnListen(func() { close(ready) })(s.server)
	go func() { s.served <- s.server.ServeMultiPort([]string{s.socket}) }()
	select {
	case <-ready:
	case err := <-s.served:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("its endpoint does not answer")
	}
	s.proxy = s.newProxy()
	return nil
}

func (s *Store) objectsDir() string { return filepath.Join(s.Dir, "objects") }
func (s *Store) bucketDir() string  { return filepath.Join(s.objectsDir(), Bucket) }

func (s *Store) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", s.socket)
}

// Close stops the endpoint.
func (s *Store) Close() error {
	err := s.server.ShutDown()
	<-s.served // whose error says that its listener was closed
	return err
}

// archive is the file of an uploaded archive.
func (s *Store) archive(organizationID, hash string) string {
	return filepath.Join(s.bucketDir(), filepath.Base(organizationID), filepath.Base(hash), archiveName)
}

// Context implements Contexts, and counts the archive as used.
func (s *Store) Context(_ context.Context, organizationID, hash string) (io.ReadCloser, error) {
	path := s.archive(organizationID, hash)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("context %s: %w", hash, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("context %s: %w", hash, err)
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		s.Log.Warn("count a context as used", "context", hash, "err", err)
	}
	return f, nil
}

// maxUploads are requests at once.
const maxUploads = 256

const sweepPeriod = time.Hour

// Run removes what nothing uses any more until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx, time.Now()); err != nil {
			s.Log.Error("remove unused contexts", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep removes the archives, and the uploads that were never finished, that
// were last used before now by more than their life. What is needed stays.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	needed := func(string, string) bool { return false }
	if s.Needed != nil {
		var err error
		if needed, err = s.Needed(ctx); err != nil {
			return err
		}
	}
	var errs []error
	err := filepath.WalkDir(s.bucketDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() || now.Sub(info.ModTime()) < s.Life {
			return nil
		}
		if dir := filepath.Dir(path); needed(filepath.Base(filepath.Dir(dir)), filepath.Base(dir)) {
			return nil
		}
		errs = append(errs, os.Remove(path))
		// The directories above go with their last file.
		for dir := filepath.Dir(path); dir != s.bucketDir() && os.Remove(dir) == nil; {
			dir = filepath.Dir(dir)
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
