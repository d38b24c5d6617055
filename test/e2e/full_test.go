package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/loopfs"
	"github.com/opendaytona/daytona/test/serve"
)

// hog is somebody else's file on the server's filesystem. It leaves about so
// many bytes free, exactly none for 0, until it is removed.
func hog(t *testing.T, dir string, leave int64) (remove func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := free(t, dir) - leave
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); leave == 0; size += 4096 {
		if _, err := f.WriteAt(block, size); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// call makes a request with the administrator's key.
func call(s *serve.Server, method, path string) (status int, text string) {
	s.T.Helper()
	status, answer, err := request(s.T.Context(), s, method, path, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	return status, string(answer)
}

func request(ctx context.Context, s *serve.Server, method, path string, body any) (status int, answer []byte, err error) {
	b, err := os.ReadFile(filepath.Join(s.Data, "credentials.json"))
	var c struct{ APIURL, APIKey string }
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return 0, nil, err
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.APIURL+path, content)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.APIKey)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// contexts is where build contexts are uploaded.
func contexts(s *serve.Server) (*minio.Client, api.StorageAccess) {
	s.T.Helper()
	_, text := call(s, "GET", "/object-storage/push-access")
	var access api.StorageAccess
	if err := json.Unmarshal([]byte(text), &access); err != nil {
		s.T.Fatal(err, text)
	}
	at, err := url.Parse(access.StorageURL)
	if err != nil {
		s.T.Fatal(err)
	}
	c, err := minio.New(at.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(access.AccessKey, access.Secret, access.SessionToken),
		Region: access.Region, BucketLookup: minio.BucketLookupPath, MaxRetries: 1,
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return c, access
}

// upload puts an object of that many bytes where build contexts go.
func upload(ctx context.Context, s *serve.Server, key string, size int) error {
	s.T.Helper()
	c, access := contexts(s)
	_, err := c.PutObject(ctx, access.Bucket, access.OrganizationID+"/"+key, bytes.NewReader(make([]byte, size)), int64(size), minio.PutObjectOptions{DisableMultipart: true})
	return err
}

const reserve = 1 << 30

func TestAFullFilesystemCostsNoSyncedFileAndCanBeLeft(t *testing.T) {
	serve.LeavesNothing(t)
	at := loopfs.Mount(t, 6<<30)
	s := serve.NewAt(t, at, "--disk-size", "1GiB")
	s.Snapshot("box", box)
	s.Snapshot("spare", "fixtures/zstd:1")
	one, two, three := s.Sandbox("box").ID, s.Sandbox("box").ID, s.Sandbox("box").ID
	s.Output(two, "echo kept >/root/mark && sync")
	// synced writes and syncs in one sandbox; the other one must not feel it.
	synced := func(name string) {
		t.Helper()
		if got := s.Output(one, "dd if=/dev/urandom of=/root/"+name+" bs=1M count=20 conv=fsync 2>/dev/null && stat -c %s /root/"+name); got != "20971520\n" {
			t.Errorf("%s: %q", name, got)
		}
		if got := s.Output(two, "cat /root/mark && echo more >/root/more && sync && cat /root/more"); got != "kept\nmore\n" {
			t.Errorf("the neighbour has %q after %s", got, name)
		}
	}
	mustReady := func(want int, part string) {
		t.Helper()
		s.Eventually("readiness tells", func() error {
			status, text := call(s, "GET", "/health/ready")
			if status != want || !strings.Contains(text, part) {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		})
	}
	mustReady(200, "ok")

	t.Run("uploads", func(t *testing.T) {
		defer hog(t, at, reserve+60<<20)()
		var err error
		for i := 0; err == nil && i < 40; i++ {
			err = upload(t.Context(), s, fmt.Sprintf("%d/context.tar", i), 8<<20)
		}
		if e := minio.ToErrorResponse(err); e.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("the upload that would take of the reserve: %v", err)
		}
		if rest := free(t, at); rest < reserve-100<<20 {
			t.Errorf("%d MiB are left of the reserve", rest>>20)
		}
		synced("uploads")
	})
	t.Run("push", func(t *testing.T) {
		img := localImage(s, 96<<20)
		dir := layoutOf(t, func(p layout.Path) error { return p.AppendImage(img) })
		defer hog(t, at, reserve+60<<20)()
		_, err := s.Client.Snapshot.Push(t.Context(), daytona.PushSnapshotParams{Name: "pushed", Image: dir}, daytona.PushOptions{})
		if err == nil || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("the push that would take of the reserve: %v", err)
		}
		if rest := free(t, at); rest < reserve-100<<20 {
			t.Errorf("%d MiB are left of the reserve", rest>>20)
		}
		synced("push")
	})
	t.Run("build", func(t *testing.T) {
		defer hog(t, at, reserve+150<<20)()
		_, err := build(t.Context(), s, "greedy", "FROM alpine:3.21\nRUN dd if=/dev/zero of=/big bs=1M count=600 && sleep 5\n")
		if err == nil {
			t.Error("the build that took of the reserve was made")
		}
		if snap, err := s.Client.Snapshot.Get(t.Context(), "greedy"); err == nil && (snap.ErrorReason == nil || !strings.Contains(*snap.ErrorReason, "space")) {
			t.Errorf("its reason: %+v", snap)
		}
		synced("build")
		_ = s.Client.Snapshot.Delete(t.Context(), "greedy") // where it was recorded
	})
	t.Run("sandboxes", func(t *testing.T) {
		// All of its own disk, which is more than the pool has left for it.
		s.Output(three, "dd if=/dev/zero of=/root/fill bs=1M count=2000 conv=fsync 2>/dev/null; sync; true")
		if got := s.Output(two, "cat /root/mark"); got != "kept\n" {
			t.Errorf("the neighbour has %q", got)
		}
		s.Output(three, "rm -f /root/fill; sync; true")
		s.Eventually("the neighbour can write again", func() error {
			if got := s.Output(two, "echo again >/root/again && sync && cat /root/again"); got != "again\n" {
				return errors.New(got)
			}
			return nil
		})
	})
	t.Run("somebody else", func(t *testing.T) {
		remove := hog(t, at, 0)
		synced("somebody")
		mustReady(503, "space")
		_, err := s.Client.Create(t.Context(), daytona.CreateParams{Snapshot: "box"})
		if e := (*daytona.Error)(nil); !errors.As(err, &e) || e.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("a sandbox was made without space: %v", err)
		}
		// Deleting works, also after others took what it gave back, and after a kill.
		b, err := s.Client.Get(t.Context(), three)
		if err == nil {
			err = b.Delete(t.Context())
		}
		if err != nil {
			t.Errorf("delete a sandbox: %v", err)
		}
		if err := s.Client.Snapshot.Delete(t.Context(), "spare"); err != nil {
			t.Errorf("delete a snapshot: %v", err)
		}
		s.End(unix.SIGKILL)
		s.Start()
		synced("restarted")
		remove()
		mustReady(200, "ok")
	})
	created := s.Sandbox("box")
	if err := created.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	s.Eventually("the ballast is back", func() error {
		info, err := os.Stat(filepath.Join(at, "ballast"))
		if err == nil && info.Size() == 0 {
			err = errors.New("it is empty")
		}
		return err
	})
}

func TestAPoolThatFailsComesBackWithItsSandboxesStopped(t *testing.T) {
	for name, alive := range map[string]bool{"while the server runs": true, "while no server runs": false} {
		t.Run(name, func(t *testing.T) {
			serve.LeavesNothing(t)
			at := loopfs.Mount(t, 6<<30)
			s := serve.NewAt(t, at, "--disk-size", "1GiB")
			s.Snapshot("box", box)
			one, two := s.Sandbox("box").ID, s.Sandbox("box").ID
			s.Output(two, "echo kept >/root/mark && sync")
			writer := "(i=0; while :; do i=$((i+1)); echo x >/root/f$i; [ $((i%500)) != 0 ] || sync; done) >/dev/null 2>&1 &" // more and more metadata
			s.Output(one, "echo kept >/root/mark && sync && "+writer)
			if !alive {
				s.End(unix.SIGKILL)
			}
			punch(t, filepath.Join(at, "disks/pool.btrfs"))
			remove := hog(t, at, 0)
			mnt := filepath.Join(at, "disks/mnt")
			var st unix.Statfs_t
			if !alive {
				s.Eventually("the pool fails", func() error {
					if err := unix.Statfs(mnt, &st); err != nil || st.Flags&unix.ST_RDONLY == 0 {
						return errors.Join(err, errors.New("it is writable"))
					}
					return nil
				})
				remove()
				s.Start()
			} else {
				s.Eventually("the sandboxes are stopped", func() error { return stoppedByPool(s, one) })
				remove()
			}
			for _, id := range []string{one, two} {
				s.Eventually("the sandbox is stopped", func() error { return stoppedByPool(s, id) })
				s.Eventually("it starts again", func() error {
					b, err := s.Client.Get(t.Context(), id)
					if err == nil && b.State != api.SandboxStarted {
						err = b.Start(t.Context())
					}
					return err
				})
				if got := s.Output(id, "cat /root/mark && echo new >/root/new && sync && cat /root/new"); got != "kept\nnew\n" {
					t.Errorf("its files: %q", got)
				}
			}
		})
	}
}

func stoppedByPool(s *serve.Server, id string) error {
	b, err := s.Client.Get(s.T.Context(), id)
	if err != nil {
		return err
	}
	if b.State != api.SandboxStopped || !strings.Contains(fmt.Sprint(b.ErrorReason), "disks of this server failed") {
		return fmt.Errorf("it is %s: %v", b.State, b.ErrorReason)
	}
	return nil
}

// punch takes the space of a pool away that holds nothing, as a disk does that
// is broken, or a filesystem that was promised to others too.
func punch(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const step = 64 << 10
	for at := int64(0); at < info.Size(); at += step {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == nil && data < at+step {
			continue
		}
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, step); err != nil {
			t.Fatal(err)
		}
	}
}
