package build

import (
	"fmt"
	"sync"
	"testing"

	"github.com/opendaytona/daytona/internal/image"
)

// makeFor builds within a scope.
func (f *fixture) makeFor(scope, id, dockerfile string) (*image.Image, string, error) {
	f.t.Helper()
	var log buffer
	img, err := f.Build(f.t.Context(), Request{ID: id, Owner: "test/" + id, Scope: scope, Dockerfile: dockerfile, Log: &log})
	return img, log.String(), err
}

func TestScopesShareNoCache(t *testing.T) {
	f := open(t, nil)
	const mount = "FROM busybox:1\nRUN --mount=type=cache,target=/cache cat /cache/secret >/seen || echo nothing >/seen; echo %[1]s >/cache/secret # %[2]d\n"
	const step = "FROM busybox:1\nRUN cat /proc/sys/kernel/random/uuid >/id\n"
	see := func(scope string, n int) string {
		t.Helper()
		img, log, err := f.makeFor(scope, fmt.Sprintf("%s-mount-%d", scope, n), fmt.Sprintf(mount, scope, n))
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		return read(t, img, "seen")
	}
	id := func(scope string, n int) string {
		t.Helper()
		img, log, err := f.makeFor(scope, fmt.Sprintf("%s-step-%d", scope, n), step)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		return read(t, img, "id")
	}
	if first, again := see("one", 1), see("one", 2); first != "nothing" || again != "one" {
		t.Errorf("a scope saw %q in its own cache mount, then %q", first, again)
	}
	if got := see("two", 1); got != "nothing" {
		t.Errorf("another scope saw %q", got)
	}
	one := id("one", 1)
	if id("one", 2) != one {
		t.Error("a scope does not have its own steps in its cache")
	}
	if id("two", 1) == one {
		t.Error("another scope's build took the step from the cache")
	}
	if _, _, err := f.makeFor("../one", "escapes", step); err == nil {
		t.Error("a scope that is a path was taken")
	}
}

func TestBuildsThatRunAtOnceShareNoCacheMount(t *testing.T) {
	f := open(t, nil)
	const dockerfile = `FROM busybox:1
RUN --mount=type=cache,id=same,target=/cache touch /cache/%[1]s && sleep 2 && ls /cache >/seen
`
	var group sync.WaitGroup
	for _, scope := range []string{"one", "two"} {
		group.Go(func() {
			img, log, err := f.makeFor(scope, scope, fmt.Sprintf(dockerfile, scope))
			if err != nil {
				t.Errorf("%v\n%s", err, log)
				return
			}
			if got := read(t, img, "seen"); got != scope {
				t.Errorf("scope %s saw %q", scope, got)
			}
		})
	}
	group.Wait()
}

func TestOnlyAFewIdleCachesStayOpen(t *testing.T) {
	f := open(t, nil)
	for i := range maxIdle + 3 {
		_, leave, err := f.use(t.Context(), fmt.Sprint("scope", i))
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}
	f.caches.mu.Lock()
	open := len(f.caches.open)
	_, oldest := f.caches.open["scope0"]
	f.caches.mu.Unlock()
	if open != maxIdle || oldest {
		t.Errorf("%d caches are open, the oldest among them: %v", open, oldest)
	}
	// What was closed opens again, and room is made in it too.
	if err := f.makeSpace(t.Context()); err != nil {
		t.Error(err)
	}
	if scopes, err := f.scopes(); err != nil || len(scopes) != maxIdle+4 {
		t.Errorf("scopes on disk: %v, %v", scopes, err)
	}
}
