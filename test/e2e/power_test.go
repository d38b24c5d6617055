package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/loopfs"
	"github.com/opendaytona/daytona/test/serve"
)

// drive is a block device that can be copied at one moment, while it is in use.
// The data directory is on an ext4 on it, as on a machine's own disk. The device
// is a file on a btrfs, which clones files at once, whoever writes: what the
// kernel keeps in memory for the ext4, and has not written to its device, is not
// in the clone, as it is not on a disk whose machine has lost its power.
type drive struct {
	t     *testing.T
	shelf string // the directory with the device and its copies
	at    string // where one of them is mounted
	used  bool
}

func newDrive(t *testing.T, size int64) *drive {
	t.Helper()
	dir := t.TempDir()
	d := &drive{t: t, shelf: filepath.Join(dir, "shelf"), at: filepath.Join(dir, "at")}
	below := filepath.Join(dir, "below")
	err := errors.Join(os.Mkdir(d.shelf, 0o700), os.Mkdir(d.at, 0o711), os.WriteFile(below, nil, 0o600), os.Truncate(below, 2*size), run("mkfs.btrfs", "-q", below))
	if err == nil {
		// Nobody asks what a crash leaves of it.
		err = run("mount", "-o", "loop,nobarrier", below, d.shelf)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loopfs.Unmount(t, d.shelf) })
	t.Cleanup(func() { d.eject() })
	file := d.file("in-use")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size), run("mkfs.ext4", "-q", "-m", "0", file)); err != nil {
		t.Fatal(err)
	}
	d.insert("in-use")
	return d
}

func (d *drive) file(name string) string { return filepath.Join(d.shelf, name) }

// insert mounts the device, or a copy of it.
func (d *drive) insert(name string) {
	d.t.Helper()
	if err := run("mount", "-o", "loop", d.file(name), d.at); err != nil {
		d.t.Fatal(err)
	}
	d.used = true
}

// eject unmounts what is mounted.
func (d *drive) eject() {
	d.t.Helper()
	if d.used {
		d.used = false
		loopfs.Unmount(d.t, d.at)
	}
}

// cut copies the device as it is at this moment.
func (d *drive) cut(name string) error {
	from, err := os.Open(d.file("in-use"))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(d.file(name))
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlFileClone(int(to.Fd()), int(from.Fd())), to.Close())
}

func run(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return err
}

// look finds out whether something is there; nil means that it is, whole.
type look func(*serve.Server) error

// errMissing is look's for what is not there at all.
var errMissing = errors.New("it is not there")

// ledger is what the server has acknowledged.
type ledger struct {
	mu    sync.Mutex
	there map[string]look
	gone  map[string]look
}

// entry names a thing in the ledger, by its kind first.
func entry(kind, id string) string { return kind + " " + id }

func kindOf(key string) string { kind, _, _ := strings.Cut(key, " "); return kind }

func (l *ledger) made(key string, f look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.there[key] = f
}

// removing is told before something is asked to be removed: it may be there or
// not until it is acknowledged.
func (l *ledger) removing(key string) (removed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.there[key]
	delete(l.there, key)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.gone[key] = f
	}
}

// copy is the ledger at one moment.
func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &ledger{there: map[string]look{}, gone: map[string]look{}}
	for k, f := range l.there {
		c.there[k] = f
	}
	for k, f := range l.gone {
		c.gone[k] = f
	}
	return c
}

func count(all map[string]look) map[string]int {
	n := map[string]int{}
	for k := range all {
		n[kindOf(k)]++
	}
	return n
}

// lacks says which of the floors are not reached.
func (l *ledger) lacks(there, gone map[string]int) (lacking []string) {
	for what, c := range map[string]struct{ floor, is map[string]int }{"": {there, count(l.there)}, "removed ": {gone, count(l.gone)}} {
		for kind, n := range c.floor {
			if c.is[kind] < n {
				lacking = append(lacking, fmt.Sprintf("%s%s: %d of %d", what, kind, c.is[kind], n))
			}
		}
	}
	slices.Sort(lacking)
	return lacking
}

// answered makes a request with the administrator's key that must be answered with the
// status.
func answered(ctx context.Context, s *serve.Server, method, path string, body any, want int) ([]byte, error) {
	status, answer, err := request(ctx, s, method, path, body)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	return answer, err
}

func makeKey(ctx context.Context, s *serve.Server, keyName string) (value string, err error) {
	answer, err := answered(ctx, s, http.MethodPost, "/api-keys", api.CreateAPIKey{Name: keyName, Permissions: []api.Permission{api.WriteSandboxes}}, http.StatusCreated)
	var made api.APIKeyCreated
	if err == nil {
		err = json.Unmarshal(answer, &made)
	}
	return made.Value, err
}

func pushAccess(s *serve.Server) (access api.RegistryPushAccess, err error) {
	answer, err := answered(s.T.Context(), s, http.MethodGet, "/docker-registry/registry-push-access", nil, http.StatusOK)
	if err == nil {
		err = json.Unmarshal(answer, &access)
	}
	return access, err
}

// load makes and removes things of every kind until ctx ends, and notes what was
// acknowledged.
type load struct {
	*ledger
	s      *serve.Server
	client *daytona.Client
	forked string // sandbox that forks are made of
	saved  string // sandbox that snapshots are made of
	images []string
	store  *minio.Client
	access api.StorageAccess
}

func newLoad(s *serve.Server) *load {
	s.T.Helper()
	l := &load{ledger: &ledger{there: map[string]look{}, gone: map[string]look{}}, s: s, client: s.Client, forked: s.Sandbox("box").ID, saved: s.Sandbox("box").ID}
	for _, id := range []string{l.forked, l.saved} {
		s.Output(id, "echo parent >/root/mark && sync")
	}
	for range 12 {
		img := localImage(s, 1<<20)
		l.images = append(l.images, layoutOf(s.T, func(p layout.Path) error { return p.AppendImage(img) }))
	}
	l.store, l.access = contexts(s)
	return l
}

// kinds of work, each of which goes on alone.
func (l *load) kinds() map[string]func(ctx context.Context, i int) error {
	return map[string]func(context.Context, int) error{
		"sandbox": l.sandbox, "sandbox beside": l.sandbox, "fork": l.fork, "key": l.key, "registry": l.registry, "upload": l.upload,
		"push": l.push, "image": l.image, "snapshot": l.snapshot,
	}
}

// last is the number of a thing that is made alone, and stays; alone of one that
// nothing else is made beside.
const (
	last  = 12_000
	alone = last + 3
)

// once makes one of each kind, and returns when all are acknowledged: nothing
// that comes later syncs them too.
func (l *load) once(ctx context.Context) error {
	var work errgroup.Group
	for kind, one := range l.kinds() {
		work.Go(func() error {
			if err := one(ctx, last); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			return nil
		})
	}
	return work.Wait()
}

// only makes one of a kind, and returns the ledger of that alone.
func (l *load) only(ctx context.Context, kind string) (*ledger, error) {
	before := l.copy()
	if err := l.kinds()[kind](ctx, alone); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	made := l.copy()
	maps.DeleteFunc(made.there, func(k string, _ look) bool { return before.there[k] != nil })
	made.gone = nil
	return made, nil
}

// pace leaves the machine some time for the other kinds.
const pace = 20 * time.Millisecond

func (l *load) run(ctx context.Context) error {
	var work sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for kind, one := range l.kinds() {
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := one(ctx, i); err != nil && ctx.Err() == nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", kind, err))
					mu.Unlock()
					return
				}
				time.Sleep(pace)
			}
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// holdsFile looks for a file in a sandbox, which must run.
func holdsFile(id, mark string) look {
	return func(s *serve.Server) error {
		b, err := s.Client.Get(s.T.Context(), id)
		if errors.Is(err, daytona.ErrNotFound) {
			return errMissing
		}
		if err != nil {
			return err
		}
		if b.State != api.SandboxStarted {
			return fmt.Errorf("it is %s: %v", b.State, b.ErrorReason)
		}
		if mark == "" {
			return nil
		}
		answer, err := b.Process.ExecuteCommand(s.T.Context(), "cat /root/mark", daytona.ExecuteOptions{})
		if err == nil && answer.Result != mark+"\n" {
			err = fmt.Errorf("its file holds %q, want %q", answer.Result, mark)
		}
		return err
	}
}

func (l *load) sandbox(ctx context.Context, i int) error {
	b, err := l.client.Create(ctx, daytona.CreateParams{Snapshot: "box"})
	if err != nil {
		return err
	}
	l.made(entry("sandbox", b.ID), holdsFile(b.ID, ""))
	if i == last {
		return nil
	}
	mark := "mark " + b.ID
	answer, err := b.Process.ExecuteCommand(ctx, "echo "+mark+" >/root/mark && sync /root/mark && echo synced", daytona.ExecuteOptions{})
	if err != nil {
		return err
	}
	if answer.Result != "synced\n" {
		return fmt.Errorf("write and sync: %q", answer.Result)
	}
	l.made(entry("sandbox", b.ID), holdsFile(b.ID, mark))
	if i%3 == 0 { // some stay
		return nil
	}
	removed := l.removing(entry("sandbox", b.ID))
	if err := b.Delete(ctx); err != nil {
		return err
	}
	removed()
	return nil
}

func (l *load) fork(ctx context.Context, i int) error {
	parent, err := l.client.Get(ctx, l.forked)
	if err != nil {
		return err
	}
	b, err := parent.Fork(ctx, "")
	if err != nil {
		return err
	}
	l.made(entry("fork", b.ID), holdsFile(b.ID, "parent"))
	if i%3 == 0 {
		return nil
	}
	removed := l.removing(entry("fork", b.ID))
	if err := b.Delete(ctx); err != nil {
		return err
	}
	removed()
	return nil
}

func (l *load) key(ctx context.Context, i int) error {
	keyName := fmt.Sprintf("key-%d", i)
	value, err := makeKey(ctx, l.s, keyName)
	if err != nil {
		return err
	}
	l.made(entry("key", keyName), func(s *serve.Server) error {
		c, err := daytona.NewClientWithConfig(daytona.Config{APIURL: s.Client.APIURL(), APIKey: value})
		if err != nil {
			return err
		}
		_, err = c.Snapshot.List(s.T.Context(), daytona.ListSnapshotsParams{})
		if errors.Is(err, daytona.ErrUnauthorized) {
			return errMissing
		}
		return err
	})
	if i%2 == 0 {
		return nil
	}
	removed := l.removing(entry("key", keyName))
	if _, err := answered(ctx, l.s, http.MethodDelete, "/api-keys/"+keyName, nil, http.StatusNoContent); err != nil {
		return err
	}
	removed()
	return nil
}

func (l *load) registry(ctx context.Context, i int) error {
	// One that nobody answers at, so that it is tried in no time.
	r, err := l.client.Registry.Create(ctx, daytona.CreateRegistryParams{Name: fmt.Sprintf("registry-%d", i), URL: fmt.Sprintf("127.0.0.1:1/%d", i), Username: "user", Password: "secret"})
	if err != nil {
		return err
	}
	l.made(entry("registry", r.ID), func(s *serve.Server) error {
		_, err := s.Client.Registry.Get(s.T.Context(), r.ID)
		if errors.Is(err, daytona.ErrNotFound) {
			return errMissing
		}
		return err
	})
	if i%2 == 0 {
		return nil
	}
	removed := l.removing(entry("registry", r.ID))
	if err := l.client.Registry.Delete(ctx, r.ID); err != nil {
		return err
	}
	removed()
	return nil
}

func (l *load) upload(ctx context.Context, i int) error {
	content := make([]byte, 64<<10)
	if i%4 == 0 {
		content = make([]byte, 6<<20) // in two parts
	}
	_, _ = rand.Read(content) // never fails (crypto/rand)
	object := fmt.Sprintf("%s/%x/context.tar", l.access.OrganizationID, sha256.Sum256(content))
	_, err := l.store.PutObject(ctx, l.access.Bucket, object, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{PartSize: 5 << 20})
	if err != nil {
		return err
	}
	l.made(entry("upload", object), func(s *serve.Server) error {
		got, err := os.ReadFile(filepath.Join(s.Data, "contexts/objects", l.access.Bucket, object))
		if errors.Is(err, os.ErrNotExist) {
			return errMissing
		}
		if err == nil && !bytes.Equal(got, content) {
			err = fmt.Errorf("its %d bytes are other ones", len(got))
		}
		return err
	})
	return nil
}

func (l *load) push(ctx context.Context, i int) error {
	image := l.images[len(l.images)-1]
	if i != last {
		if i == len(l.images)-1 {
			<-ctx.Done()
			return nil
		}
		image = l.images[i]
	}
	snap, err := l.client.Snapshot.Push(ctx, daytona.PushSnapshotParams{Name: fmt.Sprintf("pushed-%d", i), Image: image}, daytona.PushOptions{})
	if err != nil {
		return err
	}
	l.made(entry("push", snap.Name), func(s *serve.Server) error {
		if err := starts(s, snap.Name, "wc -c </pushed", "1048576\n"); err != nil {
			return err
		}
		return inRegistry(s, snap.ImageName)
	})
	return nil
}

// image is pushed, and nothing is made of it: that would sync it too.
func (l *load) image(ctx context.Context, i int) error {
	access, err := pushAccess(l.s)
	if err != nil {
		return err
	}
	img, err := random.Image(64<<10, 2)
	if err != nil {
		return err
	}
	imageName := fmt.Sprintf("%s/%s/image:%d", access.RegistryURL, access.Project, i)
	ref, err := name.ParseReference(imageName, name.Insecure)
	if err == nil {
		err = remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: access.Username, Password: access.Secret}), remote.WithContext(ctx))
	}
	if err != nil {
		return err
	}
	l.made(entry("image", imageName), func(s *serve.Server) error { return inRegistry(s, imageName) })
	return nil
}

// inRegistry looks for an image that was pushed, and reads all of it.
func inRegistry(s *serve.Server, imageName string) error {
	access, err := pushAccess(s)
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(imageName, name.Insecure)
	if err != nil {
		return err
	}
	img, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: access.Username, Password: access.Secret}), remote.WithContext(s.T.Context()))
	if err == nil {
		err = validate.Image(img)
	}
	if err != nil {
		return fmt.Errorf("in the registry: %w", err)
	}
	return nil
}

func (l *load) snapshot(ctx context.Context, i int) error {
	parent, err := l.client.Get(ctx, l.saved)
	if err != nil {
		return err
	}
	snapName := fmt.Sprintf("saved-%d", i)
	if err := parent.CreateSnapshot(ctx, snapName); err != nil {
		return err
	}
	l.made(entry("snapshot", snapName), func(s *serve.Server) error { return starts(s, snapName, "cat /root/mark", "parent\n") })
	if i%3 == 0 {
		return nil
	}
	removed := l.removing(entry("snapshot", snapName))
	if err := l.client.Snapshot.Delete(ctx, snapName); err != nil {
		return err
	}
	removed()
	return nil
}

// starts looks at a snapshot by the output of a command in a sandbox of it.
func starts(s *serve.Server, snapshot, command, want string) error {
	snap, err := s.Client.Snapshot.Get(s.T.Context(), snapshot)
	if errors.Is(err, daytona.ErrNotFound) {
		return errMissing
	}
	if err != nil {
		return err
	}
	if snap.State != api.SnapshotActive {
		return fmt.Errorf("it is %s: %v", snap.State, snap.ErrorReason)
	}
	b, err := s.Client.Create(s.T.Context(), daytona.CreateParams{Snapshot: snapshot})
	if err != nil {
		return err
	}
	answer, err := b.Process.ExecuteCommand(s.T.Context(), command, daytona.ExecuteOptions{})
	if err == nil && answer.Result != want {
		err = fmt.Errorf("a sandbox of it says %q, want %q", answer.Result, want)
	}
	return errors.Join(err, b.Delete(s.T.Context()))
}

// verify looks for everything that was acknowledged. A server that has just
// started still makes its sandboxes what their rows say.
func (l *ledger) verify(s *serve.Server) {
	s.T.Helper()
	end := time.Now().Add(serve.Slow(10 * time.Second))
	eventually := func(is func() (bool, error)) (bool, error) {
		for {
			ok, err := is()
			if ok || time.Now().After(end) {
				return ok, err
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	for k, f := range l.there {
		if ok, err := eventually(func() (bool, error) { err := f(s); return err == nil, err }); !ok {
			s.T.Errorf("%s was acknowledged: %v", k, err)
		}
	}
	for k, f := range l.gone {
		if ok, err := eventually(func() (bool, error) { err := f(s); return errors.Is(err, errMissing), err }); !ok {
			s.T.Errorf("%s was removed, and is there again (%v)", k, err)
		}
	}
}

func TestALossOfPowerLosesNothingThatWasAcknowledged(t *testing.T) {
	serve.LeavesNothing(t)
	d := newDrive(t, 6<<30)
	s := serve.NewAt(t, d.at, "--disk-size", "2GiB")
	s.Snapshot("box", box)
	chance := seeded(t)
	l := newLoad(s)
	ctx, stop := context.WithCancel(serve.Within(t, time.Minute))
	defer stop()
	loaded := make(chan error, 1)
	go func() { loaded <- l.run(ctx) }()

	// The first copy is made when there is enough to lose.
	there := map[string]int{"sandbox": 3, "fork": 2, "key": 5, "registry": 5, "upload": 5, "push": 1, "image": 1, "snapshot": 1}
	gone := map[string]int{"sandbox": 3, "fork": 2, "key": 5, "registry": 5, "snapshot": 1}
	s.Eventually("there is enough to lose", func() error {
		if lacking := l.copy().lacks(there, gone); len(lacking) > 0 {
			return errors.New(strings.Join(lacking, ", "))
		}
		return nil
	})
	var acknowledged []*ledger
	unsynced := bytes.Repeat([]byte("never synced"), 1000)
	cut := func(l *ledger) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(d.at, "unsynced"), unsynced, 0o600); err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, l)
		if err := d.cut(fmt.Sprint(len(acknowledged) - 1)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(d.at, "unsynced")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		time.Sleep(time.Duration(chance.IntN(700)) * time.Millisecond)
		cut(l.copy())
	}
	stop()
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	settled(s) // what was given up goes on
	if err := l.once(serve.Within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	cut(l.copy())
	// What most others sync too is made alone, with nothing after it.
	for _, kind := range []string{"fork", "image"} {
		made, err := l.only(serve.Within(t, 30*time.Second), kind)
		if err != nil {
			t.Fatal(err)
		}
		cut(made)
		settled(s)
	}

	for i, l := range acknowledged {
		// The machine goes down, with all that is not on the disk.
		s.End(unix.SIGKILL)
		command(s, "purge")
		d.eject()
		d.insert(fmt.Sprint(i))
		if b, err := os.ReadFile(filepath.Join(d.at, "unsynced")); err == nil && bytes.Equal(b, unsynced) {
			t.Fatal("what nobody synced is in the copy, which shows nothing then")
		}
		began := time.Now()
		s.Start()
		settled(s)
		t.Logf("copy %d: %v acknowledged, %v removed; settled after %v", i, count(l.there), count(l.gone), time.Since(began).Round(time.Millisecond))
		if files, err := filepath.Glob(filepath.Join(d.at, "quarantine", "*")); err != nil || len(files) > 0 {
			t.Errorf("in quarantine: %v\n%s", err, command(s, "quarantine", "list"))
		}
		l.verify(s)
		if t.Failed() {
			return
		}
	}
}
