// Package objectstore keeps the archives that builds copy files from, behind an
// S3 endpoint (versitygw over a directory) that clients upload them to. Who
// may upload where is in the credentials themselves (credentials.go); nothing
// of them is stored. Requests are read by a grammar (request.go), and the library
// runs in a process that has nothing but the archives (process.go, confine.go),
// so a program that opens a Store calls RunEndpoint first. Package server
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
	"net/http/httputil"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/signedtoken"
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
	// Access makes credentials for uploads below the organization's prefix, for the
	// holder of the API key with the hash.
	Access(ctx context.Context, organizationID, keyHash string) (Credentials, error)
	// Context opens an uploaded archive, a tar file. Errors: ErrNotFound.
	Context(ctx context.Context, organizationID, hash string) (*Archive, error)
	// Version is the Archive's: the same for the same bytes only. Some clients
	// upload other bytes under a hash that was there. Errors: ErrNotFound.
	Version(ctx context.Context, organizationID, hash string) (string, error)
	// Run removes what nothing uses any more until ctx ends.
	Run(ctx context.Context) error
}

// Archive is an archive that is read.
type Archive struct {
	io.ReadCloser
	Version string
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
	// Continue fails unless the API key that credentials were made for is still
	// good, and ends the request's context with it. Errors: *fault.Error.
	Continue func(ctx context.Context, keyHash string) error
	Log      *slog.Logger
}

// Store is the archives and their endpoint.
type Store struct {
	Options
	sealer
	root     *os.Root // of the bucket: what the endpoint's process writes is not trusted
	endpoint *supervisor
	proxy    *httputil.ReverseProxy
}

// Open opens the store in o.Dir, creating it where there is none.
func Open(o Options) (*Store, error) {
	s := &Store{Options: o}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open context store %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if err := durable.MkdirAll(s.bucketDir(), 0o700); err != nil {
		return err
	}
	if err := handOver(s.objectsDir()); err != nil {
		return err
	}
	if s.key, err = signedtoken.LoadKey(filepath.Join(s.Dir, "key")); err != nil {
		return err
	}
	if s.root, err = os.OpenRoot(s.bucketDir()); err != nil {
		return err
	}
	if err := s.dropUnsynced(); err != nil {
		return errors.Join(fmt.Errorf("look for interrupted uploads: %w", err), s.root.Close())
	}
	s.endpoint = newSupervisor(order{Dir: s.objectsDir(), Key: s.key}, s.Log)
	s.proxy = s.newProxy()
	return nil
}

// handOver makes everything below dir the endpoint's, and nobody else's.
func handOver(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != endpointID || st.Gid != endpointID {
			if err := root.Lchown(path, endpointID, endpointID); err != nil {
				return err
			}
		}
		if own := info.Mode().Perm() &^ 0o077; d.Type()&fs.ModeSymlink == 0 && own != info.Mode().Perm() {
			return root.Chmod(path, own)
		}
		return nil
	})
}

func (s *Store) objectsDir() string { return filepath.Join(s.Dir, "objects") }
func (s *Store) bucketDir() string  { return filepath.Join(s.objectsDir(), Bucket) }

// Close ends the endpoint.
func (s *Store) Close() error { return errors.Join(s.endpoint.Close(), s.root.Close()) }

// Context implements Contexts, and counts the archive as used.
func (s *Store) Context(_ context.Context, organizationID, hash string) (*Archive, error) {
	f, err := s.archive(organizationID, hash)
	if err != nil {
		return nil, fmt.Errorf("context %s: %w", hash, err)
	}
	version, err := versionOf(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("context %s: %w", hash, err), f.Close())
	}
	now := unix.NsecToTimeval(time.Now().UnixNano())
	if err := unix.Futimes(int(f.Fd()), []unix.Timeval{now, now}); err != nil {
		s.Log.Warn("count a context as used", "context", hash, "err", err)
	}
	return &Archive{f, version}, nil
}

// archive opens the file of an uploaded archive, which no link leads to.
func (s *Store) archive(organizationID, hash string) (*os.File, error) {
	key := organizationID + "/" + hash + "/" + archiveName
	if strings.ContainsAny(organizationID+hash, "/\x00") || !archiveKey.MatchString(hash+"/"+archiveName) {
		return nil, ErrNotFound
	}
	dir, err := s.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat2(int(dir.Fd()), key, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	f := os.NewFile(uintptr(fd), key)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
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
	err := fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		info, err := d.Info()
		if err != nil || name == "." || now.Sub(info.ModTime()) < s.Life {
			return nil
		}
		dir := path.Dir(name)
		if d.IsDir() {
			// One that somebody made and put nothing in. Another is not empty.
			_ = s.root.Remove(name)
			return nil
		}
		if needed(path.Base(path.Dir(dir)), path.Base(dir)) {
			return nil
		}
		errs = append(errs, s.root.Remove(name))
		// The directories above go with their last file.
		for ; dir != "." && s.root.Remove(dir) == nil; dir = path.Dir(dir) {
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
