package hosted

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // distribution's, which has no other way
	os.Exit(m.Run())
}

const (
	ours   = "3f0c2a4e-0000-4000-8000-000000000001"
	theirs = "3f0c2a4e-0000-4000-8000-000000000002"
)

// open serves a registry; kept is what snapshots need.
func open(t *testing.T, dir string, quota int64, kept *[]Reference) (*Registry, string) {
	t.Helper()
	r, err := Open(Options{
		Continue: func(context.Context, string) error { return nil },
		Dir:      dir, Quota: quota, Keep: 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
		Origin: func(q *http.Request) string { return "http://" + q.Host },
		Kept: func(context.Context) ([]Reference, error) {
			if kept == nil {
				return nil, nil
			}
			return *kept, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(r)
	t.Cleanup(func() {
		web.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, strings.TrimPrefix(web.URL, "http://")
}

func image(t *testing.T, size int64, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, layers)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func login(r *Registry, organizationID string) remote.Option {
	a := r.Access(organizationID, "key")
	return remote.WithAuth(&authn.Basic{Username: a.Username, Password: a.Secret})
}

func tag(t *testing.T, host, repository string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func hash(t *testing.T, img interface{ Digest() (v1.Hash, error) }) digest.Digest {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.Digest(h.String())
}

func TestWhatIsPushedCanBePulledByItsOrganizationOnly(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	img, ref := image(t, 1000, 2), tag(t, host, ours+"/app:1")
	if err := remote.Write(ref, img, login(r, ours)); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref, login(r, ours))
	if err != nil || hash(t, got) != hash(t, img) {
		t.Errorf("pulled %v", err)
	}
	if _, err := remote.Image(ref); err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") {
		t.Errorf("without credentials: %v", err)
	}
	const says = "DENIED: these credentials are for repositories below " + theirs
	if _, err := remote.Image(ref, login(r, theirs)); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("pull of another organization's: %v", err)
	}
	if err := remote.Write(ref, image(t, 10, 1), login(r, theirs)); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("push into another organization's: %v", err) // from a HEAD, which has no text
	}
	// A blob is not to be had by its digest either.
	layers, _ := img.Layers()
	h := hash(t, layers[0])
	a := r.Access(theirs, "key")
	for method, path := range map[string]string{
		http.MethodHead: "/v2/" + theirs + "/app/blobs/" + h.String(),
		http.MethodPost: "/v2/" + theirs + "/app/blobs/uploads/?mount=" + h.String() + "&from=" + ours + "/app",
	} {
		q, _ := http.NewRequest(method, "http://"+host+path, nil)
		q.SetBasicAuth(a.Username, a.Secret)
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := map[string]int{http.MethodHead: http.StatusNotFound, http.MethodPost: http.StatusAccepted}[method]; resp.StatusCode != want {
			t.Errorf("%s of a foreign blob: %s", method, resp.Status)
		}
	}
}

func TestSecretsAreGoodAsPasswordsAndAsTokensUntilTheyExpire(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	good := r.Access(ours, "key").Secret
	old := r.key.Seal(purpose, claims{OrganizationID: ours, Expires: time.Now().Add(-time.Second)})
	basic := func(secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("daytona:"+secret))
	}
	for _, c := range []struct {
		authorization string
		status        int
		says          string
	}{
		{basic(good), 200, "{}"},
		{"Bearer " + good, 200, "{}"},
		{"", 401, "credentials are needed"},
		{"Bearer " + old, 401, "the secret expired at"},
		{basic(old), 401, "the secret expired at"},
		{"Bearer " + good[1:], 401, "the secret is not valid"},
		{"Bearer " + r.key.Seal("uploads", claims{OrganizationID: ours, Expires: time.Now().Add(time.Hour)}), 401, "the secret is not valid"},
	} {
		q, _ := http.NewRequest(http.MethodGet, "http://"+host+"/v2/", nil)
		q.Header.Set("Authorization", c.authorization)
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(b), c.says) {
			t.Errorf("%.20s…: %s %s", c.authorization, resp.Status, b)
		}
		if c.status == 401 && !strings.Contains(resp.Header.Get("Www-Authenticate"), `Bearer realm="http://`+host+`/v2/token"`) {
			t.Errorf("challenge %q", resp.Header.Get("Www-Authenticate"))
		}
	}
}

func TestAPushThatOutlivesItsSecretEndsWithTheReasonAndCanBeRepeated(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	img, ref := image(t, 1000, 3), tag(t, host, ours+"/app:1")
	short := r.key.Seal(purpose, claims{OrganizationID: ours, Expires: time.Now().Add(1200 * time.Millisecond)})
	slow := slowly{http.DefaultTransport, 500 * time.Millisecond}
	err := remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: "x", Password: short}), remote.WithTransport(slow), remote.WithJobs(1))
	if err == nil || !strings.Contains(err.Error(), "the secret expired") {
		t.Errorf("pushed with an expired secret: %v", err)
	}
	if err := remote.Write(ref, img, login(r, ours)); err != nil {
		t.Errorf("again: %v", err)
	}
}

// slowly waits before each request that sends something.
type slowly struct {
	http.RoundTripper
	pause time.Duration
}

func (s slowly) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method != http.MethodGet {
		time.Sleep(s.pause)
	}
	return s.RoundTripper.RoundTrip(q)
}

func TestAPushBeyondTheQuotaIsDeniedAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	r, host := open(t, dir, 3<<20, nil)
	if err := remote.Write(tag(t, host, ours+"/small:1"), image(t, 1<<20, 1), login(r, ours)); err != nil {
		t.Fatal(err)
	}
	err := remote.Write(tag(t, host, ours+"/large:1"), image(t, 8<<20, 1), login(r, ours))
	if err == nil || !strings.Contains(err.Error(), "DENIED: the registry quota of your organization is exceeded") {
		t.Errorf("large: %v", err)
	}
	// The other organization has a quota of its own, and the small push went on.
	if err := remote.Write(tag(t, host, theirs+"/small:1"), image(t, 1<<20, 1), login(r, theirs)); err != nil {
		t.Errorf("another organization: %v", err)
	}
	if err := remote.Write(tag(t, host, ours+"/small:2"), image(t, 1<<20, 1), login(r, ours)); err != nil {
		t.Errorf("small again: %v", err)
	}
	if n, err := size(dir); err != nil || n > 4<<20 {
		t.Errorf("%d bytes are left, %v", n, err)
	}
}

func TestAWrongDigestIsRefused(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	a := r.Access(ours, "key")
	do := func(method, url string, body []byte) *http.Response {
		q, _ := http.NewRequest(method, url, bytes.NewReader(body))
		q.SetBasicAuth(a.Username, a.Secret)
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	where, err := do(http.MethodPost, "http://"+host+"/v2/"+ours+"/app/blobs/uploads/", nil).Location()
	if err != nil {
		t.Fatal(err)
	}
	q := where.Query()
	q.Set("digest", digest.FromString("other").String())
	where.RawQuery = q.Encode()
	resp := do(http.MethodPut, where.String(), []byte("text"))
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "DIGEST_INVALID") {
		t.Errorf("%s %s", resp.Status, b)
	}
}

func TestIdenticalPushesAtOnceAllSucceed(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	img, ref := image(t, 100_000, 4), tag(t, host, ours+"/app:1")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := remote.Write(ref, img, login(r, ours)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 20 { // collections come between and take nothing
		if err := r.Collect(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	wg.Wait()
	got, err := remote.Image(ref, login(r, ours))
	if err != nil {
		t.Fatal(err)
	}
	if err := complete(got); err != nil {
		t.Error(err)
	}
}

// complete reads all of an image.
func complete(img v1.Image) error {
	layers, err := img.Layers()
	for _, l := range layers {
		rc, openErr := l.Compressed()
		if openErr == nil {
			_, openErr = io.Copy(io.Discard, rc)
			rc.Close()
		}
		err = errors.Join(err, openErr)
	}
	return err
}

func TestCollectionKeepsWhatSnapshotsNeedAndWhatIsYoung(t *testing.T) {
	var kept []Reference
	dir := t.TempDir()
	r, host := open(t, dir, 1<<30, &kept)
	base := image(t, 50_000, 2)
	extra, err := random.Layer(50_000, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	grown, err := mutate.AppendLayers(base, extra) // shares base's layers
	if err != nil {
		t.Fatal(err)
	}
	other := image(t, 50_000, 1)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, 50_000, 1)})
	push := func(repository string, img v1.Image) {
		t.Helper()
		if err := remote.Write(tag(t, host, ours+"/"+repository), img, login(r, ours)); err != nil {
			t.Fatal(err)
		}
	}
	push("app:1", base)
	push("app:2", grown)
	push("other:1", other)
	if err := remote.WriteIndex(tag(t, host, ours+"/multi:1"), index, login(r, ours)); err != nil {
		t.Fatal(err)
	}
	there := func(when string, want map[string]bool) {
		t.Helper()
		for repository, want := range want {
			got, err := remote.Get(tag(t, host, ours+"/"+repository), login(r, ours))
			if (err == nil) != want {
				t.Errorf("%s: %s: %v, want there %v", when, repository, err, want)
				continue
			}
			if want && got.MediaType.IsImage() {
				img, err := got.Image()
				if err == nil {
					err = complete(img)
				}
				if err != nil {
					t.Errorf("%s: %s is not whole: %v", when, repository, err)
				}
			}
		}
	}
	collect := func(now time.Time) {
		t.Helper()
		if err := r.Collect(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	collect(time.Now())
	there("at once", map[string]bool{"app:1": true, "app:2": true, "other:1": true, "multi:1": true})

	// A day later only what snapshots need is left: one by digest, one by its
	// tag.
	kept = []Reference{
		{OrganizationID: ours, Repository: ours + "/app", Digest: hash(t, base)},
		{OrganizationID: ours, Repository: ours + "/multi", Tag: "1"},
		{OrganizationID: theirs, Repository: ours + "/other", Tag: "1"}, // not theirs to keep
	}
	collect(time.Now().Add(25 * time.Hour))
	there("a day later", map[string]bool{"app:1": true, "app:2": false, "other:1": false, "multi:1": true})
	if h, _ := extra.Digest(); exists(r, h) {
		t.Error("a layer that nothing needs is there")
	}

	// A snapshot goes: its image does an hour after its last use.
	kept = kept[1:]
	now := time.Now()
	for range 2 { // more than once is the same
		if err := r.Forget(ours, "host:1/"+ours+"/app:1", hash(t, base).String(), now); err != nil {
			t.Fatal(err)
		}
	}
	collect(now.Add(50 * time.Minute))
	there("a snapshot gone", map[string]bool{"app:1": true, "multi:1": true})
	collect(now.Add(61 * time.Minute))
	there("an hour later", map[string]bool{"app:1": false, "multi:1": true})

	// And in the end nothing is left.
	kept = nil
	collect(now.Add(25 * time.Hour))
	if n, err := size(filepath.Join(dir, "projects")); err != nil || n != 0 {
		t.Errorf("%d bytes are left, %v", n, err)
	}
	push("app:1", base)
	there("pushed again", map[string]bool{"app:1": true})
}

func exists(r *Registry, h v1.Hash) bool {
	p, err := r.project(ours)
	if err != nil {
		return false
	}
	_, err = os.Stat(p.blobFile(digest.Digest(h.String())))
	return err == nil
}

func TestAPushThatFindsALayerKeepsItFromBeingCollected(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	img := image(t, 50_000, 1)
	if err := remote.Write(tag(t, host, ours+"/app:1"), img, login(r, ours)); err != nil {
		t.Fatal(err)
	}
	age(t, r, 30*time.Hour)
	layers, _ := img.Layers()
	h, _ := layers[0].Digest()
	q, _ := http.NewRequest(http.MethodHead, "http://"+host+"/v2/"+ours+"/app/blobs/"+h.String(), nil)
	q.Header.Set("Authorization", "Bearer "+r.Access(ours, "key").Secret)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := r.Collect(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !exists(r, h) {
		t.Errorf("%s, then it is there: %v", resp.Status, exists(r, h))
	}
	if _, err := remote.Get(tag(t, host, ours+"/app:1"), login(r, ours)); err == nil {
		t.Error("the old image is still there")
	}
}

func TestALayerOfAnotherRepositoryIsNotSentAgain(t *testing.T) {
	r, host := open(t, t.TempDir(), 1<<30, nil)
	img := image(t, 50_000, 2)
	if err := remote.Write(tag(t, host, ours+"/app:1"), img, login(r, ours)); err != nil {
		t.Fatal(err)
	}
	watch := &uploads{RoundTripper: http.DefaultTransport}
	if err := remote.Write(tag(t, host, ours+"/copy:1"), img, login(r, ours), remote.WithTransport(watch)); err != nil {
		t.Fatal(err)
	}
	if n := watch.n.Load(); n != 0 {
		t.Errorf("%d blobs were sent again", n)
	}
	got, err := remote.Image(tag(t, host, ours+"/copy:1"), login(r, ours))
	if err == nil {
		err = complete(got)
	}
	if err != nil {
		t.Error(err)
	}
	// Another organization's are not known.
	if err := remote.Write(tag(t, host, theirs+"/copy:1"), img, login(r, theirs), remote.WithTransport(watch)); err != nil || watch.n.Load() != 3 {
		t.Errorf("%v, %d blobs were sent, want 3", err, watch.n.Load())
	}
}

// uploads counts the uploads that are begun.
type uploads struct {
	http.RoundTripper
	n atomic.Int32
}

func (u *uploads) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodPost {
		u.n.Add(1)
	}
	return u.RoundTripper.RoundTrip(q)
}

// age moves all files of our project back.
func age(t *testing.T, r *Registry, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	err := filepath.WalkDir(filepath.Join(r.projectsDir(), ours), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, then, then))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatACrashLeftHalfDoneIsCollected(t *testing.T) {
	dir := t.TempDir()
	r, host := open(t, dir, 1<<30, nil)
	a := r.Access(ours, "key")
	q, _ := http.NewRequest(http.MethodPost, "http://"+host+"/v2/"+ours+"/app/blobs/uploads/", nil)
	q.SetBasicAuth(a.Username, a.Secret)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p, err := r.project(ours)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(p.storeDir(), "blobs/sha256/ab", strings.Repeat("ab", 32), "data.x.tmp")
	if err := errors.Join(os.MkdirAll(filepath.Dir(half), 0o700), os.WriteFile(half, []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := r.Collect(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, _ := size(p.root); n == 0 {
		t.Error("an upload that goes on was collected")
	}
	age(t, r, 2*time.Hour)
	if err := r.Collect(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := size(p.root); n != 0 || err != nil {
		t.Errorf("%d bytes are left, %v", n, err)
	}
}

func TestPullsInProcess(t *testing.T) {
	dir := t.TempDir()
	r, host := open(t, dir, 1<<30, nil)
	img := image(t, 1000, 1)
	if err := remote.Write(tag(t, host, ours+"/team/app:1"), img, login(r, ours)); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, dir, 1<<30, nil) // as after a restart
	for _, ref := range []string{"some.name:99/" + ours + "/team/app:1", host + "/" + ours + "/team/app@" + hash(t, img).String()} {
		resolver, done, err := again.Resolver(ours, ref)
		if err != nil || resolver == nil {
			t.Fatalf("%s: %v, %v", ref, resolver, err)
		}
		_, d, err := resolver.Resolve(t.Context(), ref)
		if err != nil || d.Digest != hash(t, img) {
			t.Errorf("%s: resolved %v, %v", ref, d, err)
		}
		fetcher, _ := resolver.Fetcher(t.Context(), ref)
		body, err := fetcher.Fetch(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(body); digest.FromBytes(b) != d.Digest {
			t.Errorf("%s: fetched %q", ref, b)
		}
		body.Close()
		done()
	}
	if _, _, err := again.Resolver(theirs, host+"/"+ours+"/team/app:1"); !errors.Is(err, ErrForeign) {
		t.Errorf("another organization's: %v", err)
	}
	for _, ref := range []string{"python:3.12", "ghcr.io/team/app:1", theirs + "/app:1"} {
		if resolver, done, err := again.Resolver(ours, ref); resolver != nil || err != nil {
			t.Errorf("%s is in it: %v", ref, err)
		} else {
			done()
		}
	}
	resolver, done, err := again.Resolver(ours, host+"/"+ours+"/team/app:none")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, _, err := resolver.Resolve(t.Context(), ""); !errdefs.IsNotFound(err) {
		t.Errorf("no such tag: %v", fmt.Sprint(err))
	}
}
