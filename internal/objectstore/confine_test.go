package objectstore

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sys/unix"
)

// unguarded is a client that speaks to the library past the grammar, as if that
// let everything through.
func unguarded(t *testing.T, s *Store) minio.Core {
	t.Helper()
	c := s.credentials("org", "key")
	m, err := minio.NewCore("library", &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.Secret, c.SessionToken), BucketLookup: minio.BucketLookupPath, Region: Region, MaxRetries: 1,
		Transport: &http.Transport{DialContext: s.endpoint.dial},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// Upload ids that lead elsewhere are the way out that the library has. A
// directory of the store's shows that it is one.
func TestTheLibraryCannotLeaveItsFolder(t *testing.T) {
	s, _ := open(t)
	m := unguarded(t, s)
	const key = "org/h/" + archiveName
	outside := t.TempDir()
	if err := os.Chmod(outside, 0o777); err != nil { // as open as can be
		t.Fatal(err)
	}
	up := strings.Repeat("../", 12)

	if _, err := m.PutObject(t.Context(), Bucket, "org/inside/"+archiveName, strings.NewReader("x"), 1, "", "", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(s.bucketDir(), "org", "inside")
	if err := m.AbortMultipartUpload(t.Context(), Bucket, key, up+"objects/"+Bucket+"/org/inside"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(inside); !os.IsNotExist(err) {
		t.Fatalf("the library has no way out any more (%v): find another one for this test", err)
	}

	canary := filepath.Join(outside, "canary")
	if err := os.WriteFile(canary, []byte("alive"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{up + outside[1:], up + outside[1:] + "/canary", up + "proc/1/root" + outside, up + "proc/self/cwd/" + up + outside[1:]} {
		_ = m.AbortMultipartUpload(t.Context(), Bucket, key, target)
		if part, err := m.PutObjectPart(t.Context(), Bucket, key, target, 7, strings.NewReader("x"), 1, minio.PutObjectPartOptions{}); err == nil {
			t.Errorf("a part was written to %s: %+v", target, part)
		}
		there, thereErr := m.ListObjectParts(t.Context(), Bucket, key, target, 0, 10)
		none, noneErr := m.ListObjectParts(t.Context(), Bucket, key, target+"-none", 0, 10)
		if len(there.ObjectParts)+len(none.ObjectParts) > 0 || (thereErr == nil) != (noneErr == nil) {
			t.Errorf("whether %s is there can be told: %v, %v", target, thereErr, noneErr)
		}
		_, _ = m.CompleteMultipartUpload(t.Context(), Bucket, key, target, []minio.CompletePart{{PartNumber: 7, ETag: "x"}}, minio.PutObjectOptions{})
	}
	if b, err := os.ReadFile(canary); err != nil || string(b) != "alive" {
		t.Errorf("the canary: %q, %v", b, err)
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) != 1 {
		t.Errorf("outside are %v, %v", names, err)
	}
}

// What the process is, as the host sees it.
func TestTheEndpointHasNoPrivilegeAndNothingElse(t *testing.T) {
	s, at := open(t)
	upload(t, client(t, at, s.credentials("org", "key")), "org/h/"+archiveName)
	proc := fmt.Sprintf("/proc/%d/", pid(t, s))
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(proc + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	status := map[string]string{}
	for line := range strings.Lines(read("status")) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	id := fmt.Sprint(endpointID)
	all := strings.Join([]string{id, id, id, id}, " ")
	for name, want := range map[string]string{"Uid": all, "Gid": all, "Groups": "", "CapInh": zero, "CapPrm": zero, "CapEff": zero, "CapAmb": zero} {
		if status[name] != want {
			t.Errorf("%s is %q, want %q", name, status[name], want)
		}
	}
	for _, thread := range list(t, proc+"task") {
		if text := read("task/" + thread + "/status"); !strings.Contains(text, "CapPrm:\t"+zero+"\n") {
			t.Errorf("thread %s has privileges", thread)
		}
	}
	var mounts []string
	for line := range strings.Lines(read("mountinfo")) {
		fields := strings.Fields(line)
		mounts = append(mounts, fields[4])
		for _, option := range []string{"nosuid", "nodev", "noexec"} {
			if !slices.Contains(strings.Split(fields[5], ","), option) {
				t.Errorf("%s is without %s: %s", fields[4], option, fields[5])
			}
		}
	}
	slices.Sort(mounts)
	if want := []string{"/", "/objects", "/proc"}; !slices.Equal(mounts, want) {
		t.Errorf("it has %q mounted, want %q", mounts, want)
	}
	if names := list(t, proc+"root"); !slices.Equal(names, []string{"objects", "proc", "run"}) {
		t.Errorf("its root has %q", names)
	}
	if links := strings.Count(read("net/dev"), "\n") - 2; links != 1 {
		t.Errorf("it has %d network links, want its own loopback", links)
	}
	for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		own, err := os.Readlink(proc + "ns/" + ns)
		if ours, ourErr := os.Readlink("/proc/self/ns/" + ns); err != nil || ourErr != nil || own == ours {
			t.Errorf("it shares the %s namespace: %v, %v", ns, err, ourErr)
		}
	}
	for _, fd := range list(t, proc+"fd") {
		to, err := os.Readlink(proc + "fd/" + fd)
		if err != nil {
			continue // closed meanwhile
		}
		switch kind, _, _ := strings.Cut(to, ":"); {
		case kind == "pipe" || kind == "socket" || kind == "anon_inode" || to == "/" || to == "/dev/null" || strings.HasPrefix(to, "/objects"):
		default:
			t.Errorf("it has %s open", to)
		}
	}
}

const zero = "0000000000000000"

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// pid is that of the endpoint's process, which must run.
func pid(t *testing.T, s *Store) int {
	t.Helper()
	p, err := s.endpoint.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.endpoint.release()
	return p.pid
}

func upload(t *testing.T, m *minio.Client, key string) {
	t.Helper()
	if _, err := m.PutObject(t.Context(), Bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestTheEndpointIsStartedAgainWhenItDied(t *testing.T) {
	s, at := open(t)
	m := client(t, at, s.credentials("org", "key"))
	core := minio.Core{Client: m}
	upload(t, m, "org/a/"+archiveName)
	const key = "org/b/" + archiveName
	id, err := core.NewMultipartUpload(t.Context(), Bucket, key, minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := core.PutObjectPart(t.Context(), Bucket, key, id, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := pid(t, s)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.endpoint.process.done
	// The upload goes on.
	if _, err := core.CompleteMultipartUpload(t.Context(), Bucket, key, id, []minio.CompletePart{{PartNumber: 1, ETag: part.ETag}}, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Context(t.Context(), "org", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "part" {
		t.Errorf("%q, %v", b, err)
	}
	if pid(t, s) == first {
		t.Error("it is the same process")
	}
}

func TestTheEndpointEndsWhenNobodyUploads(t *testing.T) {
	s, at := open(t)
	s.endpoint.idle = 50 * time.Millisecond
	m := client(t, at, s.credentials("org", "key"))
	upload(t, m, "org/a/"+archiveName)
	running := func() bool {
		s.endpoint.mu <- struct{}{}
		defer func() { <-s.endpoint.mu }()
		return s.endpoint.process != nil
	}
	for at := time.Now(); running(); time.Sleep(10 * time.Millisecond) {
		if time.Since(at) > 10*time.Second {
			t.Fatal("it runs on")
		}
	}
	upload(t, m, "org/b/"+archiveName)
}
