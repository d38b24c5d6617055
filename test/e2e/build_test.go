package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/fixtures"
	"github.com/opendaytona/daytona/test/loopfs"
	"github.com/opendaytona/daytona/test/serve"
)

// build makes a snapshot of a Dockerfile and returns what became of it.
func build(ctx context.Context, s *serve.Server, name, dockerfile string) (*api.Snapshot, error) {
	s.T.Helper()
	path := filepath.Join(s.T.TempDir(), "Dockerfile")
	if err := os.WriteFile(path, []byte(dockerfile), 0o600); err != nil {
		s.T.Fatal(err)
	}
	return s.Client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: name, Build: daytona.FromDockerfile(path)}, nil)
}

// failure is why a build that must fail failed.
func failure(s *serve.Server, name, dockerfile string) string {
	s.T.Helper()
	_, err := build(s.T.Context(), s, name, dockerfile)
	if err == nil {
		s.T.Fatalf("the build of %s did not fail", name)
	}
	snap, getErr := s.Client.Snapshot.Get(s.T.Context(), name)
	if getErr != nil {
		s.T.Fatalf("%v, after %v", getErr, err)
	}
	if snap.State != api.SnapshotBuildFailed || snap.ErrorReason == nil {
		s.T.Fatalf("snapshot %s is %s, %v", name, snap.State, snap.ErrorReason)
	}
	return *snap.ErrorReason
}

// says fails unless a sandbox of the snapshot starts and its command says what
// is wanted.
func says(s *serve.Server, snapshot, command, want string) {
	s.T.Helper()
	b := s.Sandbox(snapshot)
	if got := s.Output(b.ID, command); strings.TrimSpace(got) != want {
		s.T.Errorf("a sandbox of %s says %q, want %q", snapshot, got, want)
	}
	if err := b.Delete(s.T.Context()); err != nil {
		s.T.Error(err)
	}
}

// layered is a Dockerfile whose build takes about three seconds, of every kind
// of work; mark makes it another one.
func layered(mark string) string {
	return fmt.Sprintf(`FROM fixtures/big:1 AS one
RUN sleep 0.5; echo one-%[1]s >/one
FROM alpine:3.21 AS two
RUN sleep 0.7; head -c 8000000 /dev/urandom >/two; echo %[1]s >/mark
FROM alpine:3.21
COPY --from=two / /copied/
COPY --from=one /one /
RUN --mount=type=cache,target=/cache --mount=from=two,source=/mark,target=/from-two sleep 0.5; cp /from-two /mark && echo x >>/cache/file
`, mark)
}

func TestKillsDuringBuildsLeaveNoSnapshotBehind(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	random := seeded(t)
	written := 0
	for i := range 5 {
		name := fmt.Sprintf("built-%d", i)
		ctx := serve.Within(t, 20*time.Second)
		var asked sync.WaitGroup
		asked.Go(func() { _, _ = build(ctx, s, name, layered(name)) }) // the answer is lost with the server
		time.Sleep(serve.Slow(time.Duration(100+random.IntN(2500)) * time.Millisecond))
		s.End(unix.SIGKILL)
		asked.Wait()
		s.Start()
		settled(s)
		snap, err := s.Client.Snapshot.Get(t.Context(), name)
		if errors.Is(err, daytona.ErrNotFound) {
			continue // killed before it was written
		}
		if err != nil {
			t.Fatal(err)
		}
		written++
		if snap.State != api.SnapshotActive {
			t.Errorf("snapshot %s is %s: %v", name, snap.State, *snap.ErrorReason)
			continue
		}
		says(s, name, "cat /mark /one", name+"\none-"+name)
	}
	if written < 2 {
		t.Errorf("%d of 5 builds had begun when the server was killed: too few to tell what becomes of them", written)
	}
}

func TestManyBuildsAtOnceAllEndAndTheSameIsBuiltOnce(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			text := fmt.Sprintf("FROM alpine:3.21\nRUN echo %d >/number && head -c 32 /dev/urandom >/random\n", i/2)
			if _, err := build(t.Context(), s, fmt.Sprintf("many-%d", i), text); err != nil {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i := 0; i < 20; i += 2 {
		one, two := s.Sandbox(fmt.Sprintf("many-%d", i)), s.Sandbox(fmt.Sprintf("many-%d", i+1))
		const command = "cat /number; md5sum </random"
		if a, b := s.Output(one.ID, command), s.Output(two.ID, command); a != b || !strings.HasPrefix(a, fmt.Sprint(i/2)+"\n") {
			t.Errorf("builds %d and %d of one Dockerfile differ: %q, %q", i, i+1, a, b)
		}
		if err := errors.Join(one.Delete(t.Context()), two.Delete(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// The official command names the files' context by the path of their directory.
func TestChangedFilesUnderTheHashOfBeforeAreBuilt(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	ctx := t.Context()
	store, access := contexts(s)
	const hash = "of-the-path"
	upload := func(text string) {
		t.Helper()
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		// Neither its name, its size nor its time tells that it was changed.
		header := tar.Header{Name: "file", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1700000000, 0)}
		err := w.WriteHeader(&header)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.PutObject(ctx, access.Bucket, access.OrganizationID+"/"+hash+"/context.tar", &archive, int64(archive.Len()), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	asked := api.CreateBuildInfo{DockerfileContent: "FROM alpine:3.21\nCOPY file /file\n", ContextHashes: []string{hash}}
	made := func(method, path string, body any) {
		t.Helper()
		if _, err := answered(ctx, s, method, path, body, 200); err != nil {
			t.Fatal(err)
		}
		settled(s)
	}
	for i, text := range []string{"one", "two"} {
		upload(text)
		name := fmt.Sprint("files-", i)
		made("POST", "/snapshots", api.CreateSnapshot{Name: name, BuildInfo: &asked})
		says(s, name, "cat /file", text)
		made("POST", "/snapshots", api.CreateSnapshot{Name: "replaced", BuildInfo: &asked, Replace: true})
		says(s, "replaced", "cat /file", text)
		made("PUT", "/snapshots/files-0", api.UpdateSnapshot{BuildInfo: &asked})
		says(s, "files-0", "cat /file", text)
		made("POST", "/sandbox", api.CreateSandbox{Name: name, BuildInfo: &asked})
		b, err := s.Client.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.WaitUntilStarted(ctx); err != nil {
			t.Fatal(err)
		}
		if got := s.Output(b.ID, "cat /file"); got != text {
			t.Errorf("the sandbox's file is %q, want %q", got, text)
		}
		if err := b.Delete(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRegistriesThatFailFailBuildsClearlyAndDoNotStick(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	for _, c := range []struct {
		name  string
		fault fixtures.Fault
		from  string
		want  string
	}{
		{"down", fixtures.Fault{Down: true}, "fixtures/zstd:1", "closed the connection"},
		{"broken", fixtures.Fault{Status: 500}, "fixtures/zstd:1", "answered 500"},
		{"refused", fixtures.Fault{Status: 401}, "fixtures/zstd:1", "refused access"},
		{"wrong-bytes", fixtures.Fault{}, "fixtures/wrongdigest:1", "does not match its digest"},
		{"other-machine", fixtures.Fault{}, "fixtures/wrong-arch:1", "does not exist for this machine"},
		{"nowhere", fixtures.Fault{}, "fixtures/none:1", "was not found"},
	} {
		s.Registry.Faults.Set(c.fault)
		if got := failure(s, c.name, "FROM "+c.from+"\nRUN true\n"); !strings.Contains(got, c.want) || !strings.Contains(got, "line ") {
			t.Errorf("%s: %q lacks %q or the line", c.name, got, c.want)
		}
	}
	// A layer that is cut off once is fetched again, and what failed works later.
	s.Registry.Faults.Set(fixtures.Fault{ResetAfter: 1 << 20, Times: 1})
	if _, err := build(t.Context(), s, "cut", "FROM fixtures/big:1\nRUN echo went on >/state\n"); err != nil {
		t.Errorf("a layer cut off once: %v", err)
	}
	s.Registry.Faults.Set(fixtures.Fault{})
	if _, err := build(t.Context(), s, "later", "FROM fixtures/zstd:1\nRUN true\n"); err != nil {
		t.Error(err)
	}
	says(s, "later", "cat /zstd", "unpacked")
}

// filesystem is one of its own for a data directory. It takes no more of the
// machine than is written to it.
func filesystem(t *testing.T, size int64) string {
	t.Helper()
	dir := loopfs.Make(t, size)
	t.Cleanup(func() {
		if err := run("umount", dir); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.Chmod(dir, 0o711), os.Mkdir(data, 0o711)); err != nil {
		t.Fatal(err)
	}
	return data
}

// fill takes all but left bytes of the filesystem.
func fill(t *testing.T, dir string, left int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(filepath.Dir(dir), "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, free(t, dir)-left); err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

func TestAFullDiskFailsTheBuildAndComesBack(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.NewAt(t, filesystem(t, 16<<30)) // the pool has 8 GiB of it
	s.Snapshot("box", box)
	check := counting(s, s.Sandbox("box").ID)
	check()
	fill(t, s.Data, 1600<<20)
	before := free(t, s.Data)
	reason := failure(s, "full", "FROM alpine:3.21\nRUN echo small >/small\nRUN head -c 4000000000 /dev/zero >/large\n")
	if !strings.Contains(reason, "no disk space") {
		t.Errorf("the reason is %q", reason)
	}
	comesBack := func() {
		t.Helper()
		s.Eventually("the space comes back", func() error {
			if now := free(t, s.Data); now < before-64<<20 {
				return fmt.Errorf("%d MiB are free, %d before", now>>20, before>>20)
			}
			return nil
		})
	}
	comesBack()
	// The whole disk goes to a layer that fits, and not to its copies.
	if reason := failure(s, "copies", "FROM alpine:3.21 AS one\nRUN head -c 350000000 /dev/zero >/large\nFROM alpine:3.21\nCOPY --from=one /large /\n"); !strings.Contains(reason, "no disk space") {
		t.Errorf("the reason is %q", reason)
	}
	for _, name := range []string{"full", "copies"} {
		if err := s.Client.Snapshot.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	check()
	if _, err := build(t.Context(), s, "after", "FROM alpine:3.21\nRUN echo built >/state\n"); err != nil {
		t.Fatalf("a build afterwards: %v; %d MiB are free, %d before", err, free(t, s.Data)>>20, before>>20)
	}
	says(s, "after", "cat /state", "built")
	// With what it has already, a server starts where there is little room, too.
	s.End(unix.SIGKILL)
	s.Start()
	says(s, "after", "cat /state", "built")
	check()
}
