package enginetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/engine"
)

// Place is where the conformance suite runs an engine, and what the suite does
// there other than through the engine.
type Place struct {
	Image string // of sandboxes
	// Open opens the engine on what an earlier one has left there. The suite
	// closes it.
	Open func(t *testing.T) engine.Engine
	// Write and Read are done by a program in a running sandbox. The path is in a
	// directory that every image has.
	Write func(t *testing.T, e engine.Engine, id, path, content string)
	Read  func(t *testing.T, e engine.Engine, id, path string) (content string, ok bool)
	// End ends a sandbox's first process, also while no engine is open. It may be
	// told of only what the engine was told of.
	End func(t *testing.T, id string)
}

// suite is a place with an open engine.
type suite struct {
	*testing.T
	Place
	engine.Engine
}

// Conform holds an engine to what package engine says.
func Conform(t *testing.T, p Place) {
	for _, c := range []struct {
		name string
		test func(s *suite)
	}{
		{"calls are repeated without effect", (*suite).repeats},
		{"errors say what is missing", (*suite).missing},
		{"sandboxes outlive their engine", (*suite).outlives},
		{"a copy is the disk at one moment", (*suite).copies},
		{"a capture stays and tells what has changed", (*suite).captures},
		{"ends are observed", (*suite).ends},
		{"ends are observed by the next engine", (*suite).unseenEnds},
		{"sizes change", (*suite).resizes},
		{"network policies are taken in every state", (*suite).networks},
		{"records are kept beside disks", (*suite).records},
		{"disks are put aside", (*suite).aside},
		{"what nobody waits for any more is not begun", (*suite).cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, Place: p, Engine: p.Open(t)}
			defer func() { s.must(s.Engine.Close()) }()
			c.test(s)
		})
	}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: %v, want %v", what, err, want)
	}
}

// reopen closes the engine and opens another one.
func (s *suite) reopen(meanwhile func()) {
	s.Helper()
	s.must(s.Engine.Close())
	if meanwhile != nil {
		meanwhile()
	}
	s.Engine = s.Open(s.T)
}

func (s *suite) spec() engine.Spec {
	return engine.Spec{
		ID: uuid.NewString(), Hostname: "box", Image: s.Image,
		Resources: engine.Resources{CPU: 1, Memory: 128 << 20, Disk: 64 << 20, PIDs: 128},
	}
}

// started is a sandbox that runs until the end of the test.
func (s *suite) started(edit func(*engine.Spec)) engine.Spec {
	s.Helper()
	spec := s.spec()
	if edit != nil {
		edit(&spec)
	}
	s.must(s.Create(s.Context(), spec))
	s.must(s.Start(s.Context(), spec))
	s.Cleanup(func() {
		e := s.Open(s.T) // the test's is closed
		defer e.Close()
		if err := e.Delete(context.Background(), spec.ID); err != nil {
			s.Error(err)
		}
	})
	return spec
}

func (s *suite) status(id string) engine.Status {
	s.Helper()
	st, err := s.Inspect(s.Context(), id)
	s.must(err)
	return st
}

func (s *suite) phase(id string, want engine.Phase) engine.Status {
	s.Helper()
	st := s.status(id)
	if st.Phase != want {
		s.Errorf("it is %s %s, want %s", st.Phase, st.Problem, want)
	}
	return st
}

func (s *suite) has(id, path, want string) {
	s.Helper()
	if got, ok := s.Read(s.T, s.Engine, id, path); got != want || ok != (want != "") {
		s.Errorf("%s has %q (%t), want %q", path, got, ok, want)
	}
}

func (s *suite) listed(id string) bool {
	s.Helper()
	all, err := s.List(s.Context())
	s.must(err)
	return slices.ContainsFunc(all, func(st engine.Status) bool { return st.ID == id })
}

func (s *suite) repeats() {
	spec, ctx := s.started(nil), s.Context()
	s.Write(s.T, s.Engine, spec.ID, "/tmp/mark", "one")
	began := s.status(spec.ID).StartedAt
	for range 2 {
		s.must(s.Create(ctx, spec))
		s.must(s.Start(ctx, spec))
	}
	s.has(spec.ID, "/tmp/mark", "one")
	if st := s.phase(spec.ID, engine.PhaseRunning); !st.StartedAt.Equal(began) || began.IsZero() {
		s.Errorf("started at %s, and again at %s", began, st.StartedAt)
	}
	for range 2 {
		s.must(s.Stop(ctx, spec.ID, time.Second))
		if st := s.phase(spec.ID, engine.PhaseStopped); !st.StartedAt.IsZero() || st.Exit != nil || !st.Booted {
			s.Errorf("stopped it is %+v", st)
		}
	}
	s.must(s.Start(ctx, spec))
	s.has(spec.ID, "/tmp/mark", "one")
	for range 2 {
		s.must(s.Delete(ctx, spec.ID))
		if s.listed(spec.ID) {
			s.Error("it is listed although it was deleted")
		}
	}
}

func (s *suite) missing() {
	ctx, spec, none := s.Context(), s.spec(), uuid.NewString()
	s.is("start", s.Start(ctx, spec), engine.ErrNotFound)
	_, err := s.Inspect(ctx, none)
	s.is("inspect", err, engine.ErrNotFound)
	_, err = s.Dial(ctx, none)
	s.is("dial", err, engine.ErrNotRunning)
	s.is("resize", s.Resize(ctx, none, spec.Resources), engine.ErrNotFound)
	s.is("set record", s.SetRecord(ctx, none, nil), engine.ErrNotFound)
	s.is("capture", s.Capture(ctx, none, none), engine.ErrNotFound)
	s.is("changes", s.Changes(ctx, none, s.Image, io.Discard), engine.ErrNotFound)
	s.is("set aside", s.SetAside(ctx, engine.Disk{ID: none}, 0), engine.ErrNotFound)
	s.is("restore", s.Restore(ctx, engine.Disk{ID: none}), engine.ErrNotFound)
	for what, err := range map[string]error{
		"stop": s.Stop(ctx, none, 0), "delete": s.Delete(ctx, none), "discard": s.Discard(ctx, none),
		"set network": s.SetNetwork(ctx, none, engine.Network{}), "delete aside": s.DeleteAside(ctx, engine.Disk{ID: none}), "health": s.Health(ctx),
	} {
		s.is(what, err, nil)
	}
	fork := spec
	fork.From = none
	s.is("create a copy", s.Create(ctx, fork), engine.ErrNotFound)
	other := s.spec()
	other.Image = "sha256:0000"
	s.is("create on another image", s.Create(ctx, other), engine.ErrImageMissing)
	if s.listed(fork.ID) || s.listed(other.ID) {
		s.Error("a create that failed has left a disk")
	}
	// A start that fails is over, and another one may follow.
	s.must(s.Create(ctx, spec))
	defer func() { s.must(s.Delete(context.Background(), spec.ID)) }()
	wrong := spec
	wrong.Image = "sha256:0000"
	s.is("start on another image", s.Start(ctx, wrong), engine.ErrImageMissing)
	s.phase(spec.ID, engine.PhaseStopped)
	s.must(s.Start(ctx, spec))
	s.must(s.Stop(ctx, spec.ID, 0))
	_, err = s.Dial(ctx, spec.ID)
	s.is("dial a stopped one", err, engine.ErrNotRunning)
}

func (s *suite) outlives() {
	running, stopped := s.started(nil), s.started(nil)
	s.Write(s.T, s.Engine, running.ID, "/tmp/mark", "kept")
	s.Write(s.T, s.Engine, stopped.ID, "/tmp/mark", "kept too")
	s.must(s.Stop(s.Context(), stopped.ID, time.Second))
	before := s.status(running.ID)
	s.reopen(nil)
	if st := s.phase(running.ID, engine.PhaseRunning); !st.StartedAt.Equal(before.StartedAt) || !st.Booted || st.DiskLimit != before.DiskLimit {
		s.Errorf("before %+v, after %+v", before, st)
	}
	if st := s.phase(stopped.ID, engine.PhaseStopped); !st.Booted || st.Exit != nil {
		s.Errorf("the stopped one is %+v", st)
	}
	s.has(running.ID, "/tmp/mark", "kept")
	s.must(s.Start(s.Context(), stopped))
	s.has(stopped.ID, "/tmp/mark", "kept too")
	if !s.listed(running.ID) || !s.listed(stopped.ID) {
		s.Error("one is not listed")
	}
}

func (s *suite) copies() {
	parent := s.started(nil)
	s.Write(s.T, s.Engine, parent.ID, "/tmp/mark", "before")
	fork := s.started(func(spec *engine.Spec) { spec.From = parent.ID })
	s.Write(s.T, s.Engine, parent.ID, "/tmp/mark", "after")
	s.has(fork.ID, "/tmp/mark", "before")
	s.must(s.Create(s.Context(), fork)) // it stays what it is
	s.has(fork.ID, "/tmp/mark", "before")
	s.Write(s.T, s.Engine, fork.ID, "/tmp/mark", "its own")
	s.has(parent.ID, "/tmp/mark", "after")
	s.phase(parent.ID, engine.PhaseRunning)
	s.must(s.Delete(s.Context(), parent.ID))
	s.has(fork.ID, "/tmp/mark", "its own")
}

func (s *suite) captures() {
	ctx, spec, name := s.Context(), s.started(nil), uuid.NewString()
	s.Write(s.T, s.Engine, spec.ID, "/tmp/mark", "before")
	s.must(s.Capture(ctx, spec.ID, name))
	defer func() { s.must(s.Discard(context.Background(), name)) }()
	s.Write(s.T, s.Engine, spec.ID, "/tmp/mark", "after")
	s.must(s.Capture(ctx, spec.ID, name))
	s.must(s.Delete(ctx, spec.ID))
	s.reopen(nil)
	names, err := s.Captures(ctx)
	s.must(err)
	if !slices.Contains(names, name) || s.listed(name) {
		s.Errorf("the captures are %v", names)
	}
	var layer bytes.Buffer
	s.must(s.Changes(ctx, name, s.Image, &layer))
	found := false
	for r := tar.NewReader(&layer); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		s.must(err)
		if strings.TrimPrefix(h.Name, "/") == "tmp/mark" {
			b, err := io.ReadAll(r)
			s.must(err)
			if found = true; string(b) != "before" {
				s.Errorf("the layer has %q", b)
			}
		}
	}
	if !found {
		s.Error("the layer does not have the file")
	}
	s.is("changes of another image", s.Changes(ctx, name, "sha256:0000", io.Discard), engine.ErrImageMissing)
	for range 2 {
		s.must(s.Discard(ctx, name))
	}
	if names, err = s.Captures(ctx); err != nil || slices.Contains(names, name) {
		s.Errorf("the captures are %v: %v", names, err)
	}
}

// next waits for the event of a sandbox.
func (s *suite) next(events <-chan engine.Event, id string) {
	s.Helper()
	for end := time.After(20 * time.Second); ; {
		select {
		case e, open := <-events:
			if !open {
				s.Fatal("the watch has ended")
			}
			if e.ID == id && !e.Resync {
				return
			}
		case <-end:
			s.Fatalf("no event of %s", id)
		}
	}
}

func (s *suite) ends() {
	one, two, other := s.started(nil), s.started(nil), s.started(nil)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	watched, unread := s.Watch(ctx), s.Watch(ctx)
	if e := <-watched; !e.Resync {
		s.Errorf("a watch begins with %+v", e)
	}
	// Nobody reads the other watch, and nothing waits for that.
	for _, spec := range []engine.Spec{one, two} {
		s.End(s.T, spec.ID)
		s.next(watched, spec.ID)
		if st := s.phase(spec.ID, engine.PhaseStopped); st.Exit == nil || st.Exit.OOMKilled || st.Exit.PoolFailed || !st.Booted {
			s.Errorf("it is %+v", st)
		}
		_, err := s.Dial(s.Context(), spec.ID)
		s.is("dial", err, engine.ErrNotRunning)
		s.must(s.SetNetwork(s.Context(), spec.ID, engine.Network{BlockAll: true}))
	}
	s.phase(other.ID, engine.PhaseRunning)
	s.must(s.Start(s.Context(), one))
	if st := s.status(one.ID); st.Exit != nil {
		s.Errorf("started again it is still %+v", st.Exit)
	}
	s.must(s.Stop(s.Context(), two.ID, 0)) // which changes nothing
	if st := s.status(two.ID); st.Exit == nil {
		s.Error("a stop after its end has forgotten how it ended")
	}
	s.next(unread, one.ID)
	s.next(unread, two.ID)
	cancel()
	for range watched {
	}
	last := s.Watch(s.Context())
	s.reopen(nil)
	for range last { // its engine's end is its own
	}
}

func (s *suite) unseenEnds() {
	ended, other := s.started(nil), s.started(nil)
	s.reopen(func() { s.End(s.T, ended.ID) })
	if st := s.phase(ended.ID, engine.PhaseStopped); st.Exit == nil || !st.Booted {
		s.Errorf("it is %+v", st)
	}
	s.phase(other.ID, engine.PhaseRunning)
	s.must(s.Start(s.Context(), ended))
	s.phase(ended.ID, engine.PhaseRunning)
}

func (s *suite) resizes() {
	ctx, spec := s.Context(), s.started(nil)
	s.Write(s.T, s.Engine, spec.ID, "/tmp/fill", strings.Repeat("x", 8<<20))
	size := spec.Resources
	size.Disk = 4 << 20
	var small *engine.TooSmall
	if err := s.Resize(ctx, spec.ID, size); !errors.As(err, &small) || small.Resource != "disk" || small.Used < 8<<20 {
		s.Errorf("a disk that is too small: %v", err)
	}
	if st := s.status(spec.ID); st.DiskLimit != 0 && st.DiskLimit != spec.Resources.Disk {
		s.Errorf("a resize that failed has made the limit %d", st.DiskLimit)
	}
	size = engine.Resources{CPU: 0.5, Memory: 192 << 20, Disk: 96 << 20, PIDs: 128}
	for range 2 {
		s.must(s.Resize(ctx, spec.ID, size))
		if st := s.status(spec.ID); st.DiskLimit != 0 && st.DiskLimit != size.Disk {
			s.Errorf("the limit is %d, want %d", st.DiskLimit, size.Disk)
		}
	}
	s.must(s.Stop(ctx, spec.ID, 0))
	size.Disk = 80 << 20
	s.must(s.Resize(ctx, spec.ID, size))
	s.reopen(nil)
	if st := s.status(spec.ID); st.DiskLimit != 0 && st.DiskLimit != size.Disk {
		s.Errorf("the limit of the stopped one is %d, want %d", st.DiskLimit, size.Disk)
	}
}

func (s *suite) networks() {
	ctx, spec := s.Context(), s.started(func(spec *engine.Spec) { spec.Network.BlockAll = true })
	policies := []engine.Network{
		{}, {BlockAll: true}, {Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		{Domains: []string{"example.com", "*.example.org"}}, {BlockAll: true},
	}
	for _, n := range policies {
		for range 2 {
			s.must(s.SetNetwork(ctx, spec.ID, n))
		}
		s.phase(spec.ID, engine.PhaseRunning)
	}
	s.must(s.SetNetwork(ctx, spec.ID, policies[3]))
	s.reopen(nil)
	s.phase(spec.ID, engine.PhaseRunning)
	for _, n := range policies {
		s.must(s.SetNetwork(ctx, spec.ID, n))
	}
	s.must(s.Stop(ctx, spec.ID, 0))
	s.must(s.SetNetwork(ctx, spec.ID, policies[2]))
	s.must(s.Start(ctx, spec))
}

func (s *suite) records() {
	ctx, d := s.Context(), engine.Disk{}
	spec := s.started(func(spec *engine.Spec) { spec.Record = []byte(`{"name":"first"}`) })
	d.ID = spec.ID
	is := func(d engine.Disk, want string) {
		s.Helper()
		if got, err := s.Record(ctx, d); err != nil || string(got) != want {
			s.Errorf("the record is %q, %v; want %q", got, err, want)
		}
	}
	is(d, `{"name":"first"}`)
	s.must(s.SetRecord(ctx, spec.ID, []byte("second")))
	is(d, "second")
	s.reopen(nil)
	is(d, "second")
	is(engine.Disk{ID: uuid.NewString()}, "")
	s.must(s.SetAside(ctx, d, 0))
	is(d, "second")
	s.must(s.Restore(ctx, d))
	is(d, "second")
	s.must(s.Delete(ctx, spec.ID))
	is(d, "")
}

func (s *suite) aside() {
	ctx, spec, name := s.Context(), s.started(nil), uuid.NewString()
	s.Write(s.T, s.Engine, spec.ID, "/tmp/mark", "kept")
	s.must(s.Capture(ctx, spec.ID, name))
	disks := []engine.Disk{{ID: spec.ID}, {ID: name, Capture: true}}
	for _, d := range disks {
		for range 2 {
			s.must(s.SetAside(ctx, d, time.Second))
		}
	}
	s.reopen(nil)
	names, err := s.Captures(ctx)
	s.must(err)
	if s.listed(spec.ID) || slices.Contains(names, name) {
		s.Errorf("a disk that is aside is listed; captures: %v", names)
	}
	s.is("start", s.Start(ctx, spec), engine.ErrNotFound)
	s.must(s.Delete(ctx, spec.ID)) // which is not to see it
	s.must(s.Discard(ctx, name))
	all, err := s.Aside(ctx)
	s.must(err)
	for _, d := range disks {
		if !slices.Contains(all, d) {
			s.Errorf("%+v is not among those aside: %+v", d, all)
		}
		for range 2 {
			s.must(s.Restore(ctx, d))
		}
	}
	if st := s.phase(spec.ID, engine.PhaseStopped); st.Exit != nil {
		s.Errorf("it has ended by itself: %+v", st.Exit)
	}
	s.must(s.Start(ctx, spec))
	s.has(spec.ID, "/tmp/mark", "kept")
	for _, d := range disks {
		s.must(s.SetAside(ctx, d, 0))
		for range 2 {
			s.must(s.DeleteAside(ctx, d))
		}
		s.is("restore what was removed", s.Restore(ctx, d), engine.ErrNotFound)
	}
}

func (s *suite) cancelled() {
	spec, other := s.started(nil), s.spec()
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	for what, err := range map[string]error{
		"create": s.Create(ctx, other), "stop": s.Stop(ctx, spec.ID, time.Second), "capture": s.Capture(ctx, spec.ID, other.ID),
	} {
		s.is(what, err, context.Canceled)
	}
	if s.phase(spec.ID, engine.PhaseRunning); s.listed(other.ID) {
		s.Error("a create whose context had ended has made a disk")
	}
}
