package objectstore

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sys/unix"
)

// everyKey is good.
func everyKey(context.Context, string) error { return nil }

func open(t *testing.T) (*Store, string) {
	t.Helper()
	t.Chdir(t.TempDir()) // and back, which the store does not
	s, err := Open(Options{Dir: t.TempDir(), MaxSize: 32 << 20, Life: 24 * time.Hour, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Continue: everyKey})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, server.URL
}

func client(t *testing.T, at string, c Credentials) *minio.Client {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	m, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.Secret, c.SessionToken), BucketLookup: minio.BucketLookupPath, Region: Region, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClientsUploadBelowTheirOwnPrefix(t *testing.T) {
	s, at := open(t)
	m := client(t, at, s.credentials("org", "key"))
	small, large := []byte("small"), bytes.Repeat([]byte("large "), 2<<20)
	for name, c := range map[string]struct {
		data []byte
		size int64
		part uint64
	}{
		"at once":           {small, int64(len(small)), 0},
		"of unknown length": {small, -1, 5 << 20},
		"in parts":          {large, -1, 5 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			hash := strings.ReplaceAll(name, " ", "-")
			key := "org/" + hash + "/context.tar"
			if _, err := m.StatObject(t.Context(), Bucket, key, minio.StatObjectOptions{}); minio.ToErrorResponse(err).Code != "NoSuchKey" {
				t.Errorf("before the upload: %v", err)
			}
			if _, err := m.PutObject(t.Context(), Bucket, key, bytes.NewReader(c.data), c.size, minio.PutObjectOptions{PartSize: c.part}); err != nil {
				t.Fatal(err)
			}
			if info, err := m.StatObject(t.Context(), Bucket, key, minio.StatObjectOptions{}); err != nil || info.Size != int64(len(c.data)) {
				t.Errorf("%+v, %v", info, err)
			}
			r, err := s.Context(t.Context(), "org", hash)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	for object := range m.ListObjects(t.Context(), Bucket, minio.ListObjectsOptions{Prefix: "org/", Recursive: true}) {
		if object.Err != nil || !strings.HasPrefix(object.Key, "org/") {
			t.Errorf("%+v", object)
		}
	}
	if _, err := s.Context(t.Context(), "other", "at-once"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another organization reads it: %v", err)
	}
}

func TestNothingElseIsAllowed(t *testing.T) {
	s, at := open(t)
	own := s.credentials("org", "key")
	forged := own
	forged.SessionToken = s.credentials("other", "key").SessionToken
	wrong := own
	wrong.Secret = "wrong"
	put := func(m *minio.Client, key string) error {
		_, err := m.PutObject(t.Context(), Bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	}
	for name, err := range map[string]error{
		"another prefix":     put(client(t, at, own), "other/h/context.tar"),
		"no prefix":          put(client(t, at, own), "context.tar"),
		"a prefix like ours": put(client(t, at, own), "organization/h/context.tar"),
		"another's token":    put(client(t, at, forged), "other/h/context.tar"),
		"a wrong secret":     put(client(t, at, wrong), "org/h/context.tar"),
		"no token":           put(client(t, at, Credentials{AccessKey: own.AccessKey, Secret: own.Secret}), "org/h/context.tar"),
		"too large":          second(client(t, at, own).PutObject(t.Context(), Bucket, "org/h/context.tar", strings.NewReader(strings.Repeat("x", 33<<20)), 33<<20, minio.PutObjectOptions{DisableMultipart: true})),
		"a new bucket":       client(t, at, own).MakeBucket(t.Context(), "mine", minio.MakeBucketOptions{}),
		"a policy":           client(t, at, own).SetBucketPolicy(t.Context(), Bucket, "{}"),
	} {
		if err == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestUnusedContextsExpire(t *testing.T) {
	s, at := open(t)
	m := client(t, at, s.credentials("org", "key"))
	if _, err := m.PutObject(t.Context(), Bucket, "org/h/context.tar", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.PutObject(t.Context(), Bucket, "org/empty/", strings.NewReader(""), 0, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Context(t.Context(), "org", "h")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := s.Sweep(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Context(t.Context(), "org", "h"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.bucketDir(), "org", "empty")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty directory stays: %v", err)
	}
	if _, err := os.Stat(s.bucketDir()); err != nil {
		t.Error(err)
	}
}

// What the endpoint's process may have left in its folder is not trusted.
func TestLinksInTheFolderLeadNowhere(t *testing.T) {
	s, _ := open(t)
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret", archiveName)
	if err := errors.Join(os.MkdirAll(filepath.Dir(secret), 0o700), os.WriteFile(secret, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	org := filepath.Join(s.bucketDir(), "org")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(org, "file"), 0o700), os.MkdirAll(filepath.Join(org, "pipe"), 0o700),
		os.Symlink(filepath.Dir(secret), filepath.Join(org, "dir")),
		os.Symlink(secret, filepath.Join(org, "file", archiveName)),
		unix.Mkfifo(filepath.Join(org, "pipe", archiveName), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"dir", "file", "pipe", "..", "../org/dir", "dir/.", ""} {
		if r, err := s.Context(t.Context(), "org", hash); err == nil {
			b, _ := io.ReadAll(r)
			r.Close()
			t.Errorf("%q is read: %q", hash, b)
		}
	}
	if err := s.Sweep(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestArchivesStayInTheirDirectory(t *testing.T) {
	good := tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o755, Size: 1}
	for name, c := range map[string]struct {
		headers []tar.Header
		limits  Limits
		fails   bool
	}{
		"files":          {[]tar.Header{good, {Name: "/abs", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}}, Limits{10, 10}, false},
		"up":             {[]tar.Header{{Name: "../x", Typeflag: tar.TypeReg, Size: 1}}, Limits{10, 10}, true},
		"by a link":      {[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, {Name: "l/x", Typeflag: tar.TypeReg, Size: 1}}, Limits{10, 10}, true},
		"link to a file": {[]tar.Header{{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}}, Limits{10, 10}, true},
		"a device":       {[]tar.Header{{Name: "d", Typeflag: tar.TypeChar}}, Limits{10, 10}, true},
		"too large":      {[]tar.Header{good, {Name: "c", Typeflag: tar.TypeReg, Size: 1}}, Limits{1, 10}, true},
		"too many":       {[]tar.Header{good, {Name: "c", Typeflag: tar.TypeReg, Size: 1}}, Limits{10, 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range c.headers {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, h.Size)); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			err := Extract(t.Context(), &b, filepath.Join(dir), c.limits)
			if c.fails != errors.Is(err, ErrArchive) {
				t.Errorf("error is %v", err)
			}
			if !c.fails {
				if st, err := os.Stat(filepath.Join(dir, "a/b")); err != nil || st.Mode().Perm() != 0o755 {
					t.Errorf("%v, %v", st, err)
				}
			}
		})
	}
}

func TestOtherBytesAreAnotherVersion(t *testing.T) {
	s, at := open(t)
	m := client(t, at, s.credentials("org", "key"))
	put := func(data []byte) (version string) {
		t.Helper()
		if _, err := m.PutObject(t.Context(), Bucket, "org/hash/context.tar", bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
			t.Fatal(err)
		}
		version, err := s.Version(t.Context(), "org", "hash")
		if err != nil || version == "" {
			t.Fatalf("version %q, %v", version, err)
		}
		r, err := s.Context(t.Context(), "org", "hash")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || r.Version != version {
			t.Errorf("%d bytes of version %s, want %s: %v", len(got), r.Version, version, err)
		}
		return version
	}
	large := bytes.Repeat([]byte("large "), 2<<20)
	changed := bytes.Clone(large)
	changed[len(changed)-1] = 'x'
	a, b, c, d := put([]byte("one")), put([]byte("two")), put(large), put(changed)
	if len(map[string]bool{a: true, b: true, c: true, d: true}) != 4 || put([]byte("one")) != a || put(large) != c {
		t.Errorf("versions %s, %s, %s, %s", a, b, c, d)
	}
	if _, err := s.Version(t.Context(), "other", "hash"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another organization's: %v", err)
	}
	if _, err := s.Version(t.Context(), "org", "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
}

func TestWhatACrashLeftOfAnUploadIsNotThere(t *testing.T) {
	dir := t.TempDir()
	start := func() (*Store, *minio.Client, func()) {
		t.Helper()
		s, err := Open(Options{Dir: dir, MaxSize: 32 << 20, Life: 24 * time.Hour, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Continue: everyKey})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(s)
		return s, client(t, server.URL, s.credentials("org", "key")), func() {
			t.Helper()
			server.Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	s, m, stop := start()
	small, large := []byte("small"), bytes.Repeat([]byte("large "), 2<<20)
	archives := map[string]struct {
		data  []byte
		spoil func(f *os.File) error // what the crash did; its mark goes first
		kept  bool
	}{
		"acknowledged":          {small, nil, true},
		"acknowledged-parts":    {large, nil, true},
		"written-without-mark":  {small, func(*os.File) error { return nil }, true},
		"zeros":                 {small, func(f *os.File) error { return blank(f, int64(len(small))) }, false},
		"zeros-in-parts":        {large, func(f *os.File) error { return blank(f, int64(len(large))) }, false},
		"shorter":               {small, func(f *os.File) error { return f.Truncate(2) }, false},
		"nothing":               {small, func(f *os.File) error { return f.Truncate(0) }, false},
		"copied-without-labels": {small, func(f *os.File) error { return unix.Fremovexattr(int(f.Fd()), etagName) }, true},
	}
	for hash, a := range archives {
		if _, err := m.PutObject(t.Context(), Bucket, "org/"+hash+"/context.tar", bytes.NewReader(a.data), int64(len(a.data)), minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
			t.Fatal(err)
		}
		if a.spoil == nil {
			continue
		}
		f, err := os.OpenFile(filepath.Join(s.bucketDir(), "org", hash, archiveName), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unix.Fremovexattr(int(f.Fd()), syncedMark), a.spoil(f), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(s.bucketDir(), "org", "link")); err != nil {
		t.Fatal(err)
	}
	stop()
	for range 2 { // what is kept has its mark
		s, m, stop = start()
		for hash, a := range archives {
			_, err := m.StatObject(t.Context(), Bucket, "org/"+hash+"/context.tar", minio.StatObjectOptions{})
			r, readErr := s.Context(t.Context(), "org", hash)
			if a.kept != (err == nil) || a.kept != (readErr == nil) {
				t.Errorf("%s: %v, %v", hash, err, readErr)
			}
			if readErr != nil {
				continue
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, a.data) {
				t.Errorf("%s: %d bytes, %v", hash, len(got), err)
			}
			if value, err := attribute(r.ReadCloser.(*os.File), syncedMark); err != nil || value == "" {
				t.Errorf("%s has no mark: %v", hash, err)
			}
			r.Close()
		}
		stop()
	}
}

func TestArchivesFromBeforeTheyHadMarksStay(t *testing.T) {
	s, at := open(t)
	m := client(t, at, s.credentials("org", "key"))
	large := bytes.Repeat([]byte("large "), 2<<20)
	if _, err := m.PutObject(t.Context(), Bucket, "org/hash/context.tar", bytes.NewReader(large), int64(len(large)), minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.bucketDir(), "org", "hash", archiveName)
	if err := errors.Join(unix.Removexattr(file, syncedMark), os.Remove(filepath.Join(s.Dir, markingName))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.dropUnsynced(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Version(t.Context(), "org", "hash"); err != nil {
			t.Error(err)
		}
	}
}

func blank(f *os.File, size int64) error {
	_, err := f.WriteAt(make([]byte, size), 0)
	return err
}

// An endpoint may answer and close the connection before it has read the body.
func TestAnAnswerThatComesBeforeTheBodyIsKept(t *testing.T) {
	ours, theirs := net.Pipe()
	conn := &connection{Conn: &refusing{Conn: ours, refused: make(chan struct{})}, release: func() {}}
	go func() {
		_, _ = http.ReadRequest(bufio.NewReader(theirs))
		_, _ = io.WriteString(theirs, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		theirs.Close()
	}()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://endpoint/key", strings.NewReader(strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusForbidden || string(text) != "no" {
		t.Errorf("%s %q, %v", response.Status, text, err)
	}
}

// refusing takes the head of a request, and fails to write more. Nothing is read
// from it before that.
type refusing struct {
	net.Conn
	head    atomic.Bool
	refused chan struct{}
	once    sync.Once
}

func (r *refusing) Write(b []byte) (int, error) {
	if r.head.CompareAndSwap(false, true) {
		return r.Conn.Write(b)
	}
	r.once.Do(func() { time.AfterFunc(50*time.Millisecond, func() { close(r.refused) }) })
	return 0, unix.EPIPE
}

func (r *refusing) Read(b []byte) (int, error) {
	<-r.refused
	return r.Conn.Read(b)
}
