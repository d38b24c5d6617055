// Package modeltest drives the services of sandboxes and snapshots, on the real
// database and on an engine in memory, by random commands, with faults of the
// engine, of registries and with ends of the server in between, and compares what
// is there in the end with a model of what was answered.
package modeltest

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

var (
	replay = flag.Uint64("seed", 0, "the one seed to run, as a failure tells it")
	seeds  = flag.Int("seeds", 8, "how many seeds to run")
	steps  = flag.Int("steps", 60, "how many commands of each seed")
)

func TestRandomCommandsFaultsAndRestarts(t *testing.T) {
	var did total
	for n := range *seeds {
		seed := cmp.Or(*replay, uint64(n+1))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t)
			synctest.Test(t, func(t *testing.T) { did.add(run(t, seed, w)) })
		})
		if *replay != 0 {
			return
		}
	}
	t.Logf("%+v", did)
	// A model that nothing happens in agrees with everything.
	if each := *seeds * *steps / 60; did.created < 4*each || did.removed < each || did.forks+did.claims < each || did.saved == 0 {
		t.Errorf("too little was done to tell: %+v", did)
	}
}

// total is how much was answered.
type total struct{ created, removed, forks, claims, saved, restarts, refused int }

func (t *total) add(o total) {
	t.created += o.created
	t.removed += o.removed
	t.forks += o.forks
	t.claims += o.claims
	t.saved += o.saved
	t.restarts += o.restarts
	t.refused += o.refused
}

// expected is the model of one sandbox.
type expected struct {
	mark    string // what was written to its disk, "" for nothing
	removed bool   // its removal was answered
}

// model is what was answered, and must be true from then on.
type model struct {
	*world
	random *rand.Rand
	boxes  map[string]*expected
	snaps  []string // names
	did    total
	n      int
}

func run(t *testing.T, seed uint64, w *world) total {
	w.t = t
	m := &model{world: w, random: rand.New(rand.NewPCG(seed, 1)), boxes: map[string]*expected{}}
	w.start()
	defer w.end()
	for i := range 2 {
		m.createSnapshot(fmt.Sprint("base-", i))
	}
	m.agree("at first")
	for step := range *steps {
		m.step()
		if step%20 == 19 {
			w.machine.Heal()
			w.images.fail(0)
			m.agree(fmt.Sprint("after step ", step))
		}
	}
	w.machine.Heal()
	w.images.fail(0)
	m.restart()
	m.agree("after the last restart")
	m.empty()
	return m.did
}

// step is one command, or something that happens to the machine.
func (m *model) step() {
	m.n++
	kind := m.random.IntN(20)
	m.t.Logf("step %d: kind %d", m.n, kind)
	switch kind {
	case 0, 1, 2, 3, 4:
		m.create()
	case 5, 6:
		m.ask(m.sandboxes.Start(m.t.Context(), m.organization, m.any()))
	case 7, 8:
		m.ask(m.sandboxes.Stop(m.t.Context(), m.organization, m.any(), m.random.IntN(2) == 0))
	case 9, 10:
		m.remove()
	case 11, 12:
		m.fork()
	case 13:
		m.save()
	case 14:
		m.pool()
	case 15:
		m.createSnapshot(fmt.Sprint("snap-", m.n))
	case 16:
		m.removeSnapshot()
	case 17:
		if id := m.any(); id != "none" {
			m.t.Logf("step %d: end %s", m.n, id)
			m.machine.EndOne(id, engine.Exit{OOMKilled: true})
		}
	case 18:
		m.inject()
	case 19:
		switch m.random.IntN(3) {
		case 0:
			m.machine.Reboot()
			m.restart()
		default:
			m.restart()
		}
	}
	// Some commands meet what earlier ones have begun.
	if m.random.IntN(3) == 0 {
		time.Sleep(time.Duration(m.random.IntN(3000)) * time.Millisecond)
	}
}

func (m *model) inject() {
	methods := []string{"Create", "Start", "Stop", "Delete", "SetNetwork", "Inspect", "Capture", ""}
	f := enginetest.Fault{Method: methods[m.random.IntN(len(methods))], Times: 1 + m.random.IntN(3), After: m.random.IntN(2) == 0, Err: errors.New("the machine is tired")}
	if m.random.IntN(3) == 0 {
		f.Delay = time.Duration(m.random.IntN(5)) * time.Second
	}
	m.t.Logf("step %d: fault %+v", m.n, f)
	m.machine.Inject(f)
	if m.random.IntN(3) == 0 {
		m.images.fail(1 + m.random.IntN(2))
	}
}

// ask notes an answer. Only what the caller can mend may be refused.
func (m *model) ask(sb *sandbox.Sandbox, err error) bool {
	m.t.Helper()
	if err == nil {
		return true
	}
	var told *fault.Error
	if !errors.As(err, &told) {
		m.t.Errorf("step %d: an answer that tells nothing: %v", m.n, err)
	}
	m.did.refused++
	m.t.Logf("step %d: refused: %v", m.n, err)
	return false
}

// any is a sandbox that was answered and not removed.
func (m *model) any() string {
	var ids []string
	for id, e := range m.boxes {
		if !e.removed {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "none"
	}
	// The ids are random, their order of creation is not.
	slices.SortFunc(ids, func(a, b string) int { return m.order[a] - m.order[b] })
	return ids[m.random.IntN(len(ids))]
}

func (m *model) anySnapshot() string {
	if len(m.snaps) == 0 || m.random.IntN(10) == 0 {
		return "base-0"
	}
	return m.snaps[m.random.IntN(len(m.snaps))]
}

func (m *model) create() {
	never := 0
	sb, err := m.sandboxes.Create(m.t.Context(), m.organization, sandbox.CreateParams{Snapshot: m.anySnapshot(), AutoStop: &never})
	if !m.ask(sb, err) {
		return
	}
	m.did.created++
	if sb.State == sandbox.StateStarted || sb.Claimed {
		m.did.claims++
	}
	m.answered(sb)
}

// answered adds what nobody had before.
func (m *model) answered(sb *sandbox.Sandbox) {
	if m.boxes[sb.ID] != nil {
		m.t.Fatalf("step %d: sandbox %s was given twice", m.n, sb.ID)
	}
	m.boxes[sb.ID] = &expected{}
	m.order[sb.ID] = len(m.order)
}

func (m *model) remove() {
	id := m.any()
	if !m.ask(m.sandboxes.Delete(m.t.Context(), m.organization, id)) {
		return
	}
	m.did.removed++
	m.boxes[id].removed = true
}

func (m *model) fork() {
	parent := m.any()
	sb, err := m.sandboxes.Fork(m.t.Context(), m.organization, parent, "")
	if !m.ask(sb, err) {
		return
	}
	m.did.forks++
	m.answered(sb)
}

func (m *model) save() {
	name := fmt.Sprint("saved-", m.n)
	if m.ask(m.sandboxes.Snapshot(m.t.Context(), m.organization, m.any(), name)) {
		m.did.saved++
		m.snaps = append(m.snaps, name)
	}
}

func (m *model) pool() {
	pools, err := m.sandboxes.Pools(m.t.Context(), m.organization)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx := m.t.Context()
	switch {
	case len(pools) == 0:
		_, err = m.sandboxes.CreatePool(ctx, m.organization, m.anySnapshot(), "", 1+m.random.IntN(2))
	case m.random.IntN(2) == 0:
		_, err = m.sandboxes.ResizePool(ctx, m.organization, pools[0].ID, 1+m.random.IntN(3))
	default:
		err = m.sandboxes.DeletePool(ctx, m.organization, pools[0].ID)
	}
	m.ask(nil, err)
}

func (m *model) createSnapshot(name string) {
	disk := 1
	_, err := m.snapshots.Create(m.t.Context(), m.organization, false, snapshot.CreateParams{Name: name, ImageName: "registry.test/" + name + ":1", Disk: &disk})
	if m.ask(nil, err) {
		m.snaps = append(m.snaps, name)
	}
}

func (m *model) removeSnapshot() {
	name := m.anySnapshot()
	if strings.HasPrefix(name, "base-") {
		return
	}
	if m.ask(nil, m.snapshots.Delete(m.t.Context(), m.organization, name, false)) {
		m.snaps = slices.DeleteFunc(m.snaps, func(s string) bool { return s == name })
	}
}

// restart ends the server where it is, and starts the next one.
func (m *model) restart() {
	m.did.restarts++
	m.end()
	m.world.start()
}

// agree waits until all work is done, and holds what is there against the model.
func (m *model) agree(when string) {
	m.t.Helper()
	rows := m.settle(when)
	pools, err := m.sandboxes.Pools(m.t.Context(), m.organization)
	if err != nil {
		m.t.Fatal(err)
	}
	disks := m.machine.Disks()
	byID := map[string]*sandbox.Sandbox{}
	cpu, warm := 0, 0
	for _, sb := range rows {
		byID[sb.ID] = sb
		if sb.WarmPoolID != "" {
			warm++
			if m.boxes[sb.ID] != nil {
				m.t.Errorf("%s: sandbox %s is somebody's and waits in a pool", when, sb.ID)
			}
		} else if m.boxes[sb.ID] == nil && sb.State != sandbox.StateError {
			m.t.Errorf("%s: sandbox %s is nobody's: %s", when, sb.ID, sb.State)
		}
		if sb.State == sandbox.StateStarted {
			cpu += sb.Resources.CPU
		}
		if runs := m.machine.Runs(sb.ID); runs != (sb.State == sandbox.StateStarted) {
			m.t.Errorf("%s: sandbox %s is %s (%s) and runs: %v", when, sb.ID, sb.State, sb.ErrorReason, runs)
		}
		// What waits in a pool is nobody's to be told of.
		if got := m.events.state(sb.ID); sb.WarmPoolID == "" && got != sb.State {
			m.t.Errorf("%s: sandbox %s is %s, and the last event said %s", when, sb.ID, sb.State, got)
		}
		if sb.ImageDigest != "" && slices.Contains(disks, sb.ID) && !m.images.holds(sb.ImageDigest) {
			m.t.Errorf("%s: nobody holds the image %s of sandbox %s", when, sb.ImageDigest, sb.ID)
		}
	}
	if cpu > maxCPU {
		m.t.Errorf("%s: %d cores run, of %d", when, cpu, maxCPU)
	}
	for _, p := range pools {
		if p.Ready > p.Size {
			m.t.Errorf("%s: pool %s has %d of %d", when, p.ID, p.Ready, p.Size)
		}
	}
	for _, id := range disks {
		if byID[id] == nil {
			m.t.Errorf("%s: no row knows the disk %s", when, id)
		}
	}
	for id, e := range m.boxes {
		sb := byID[id]
		switch {
		case e.removed && sb != nil:
			m.t.Errorf("%s: sandbox %s was removed and is %s: %s", when, id, sb.State, sb.ErrorReason)
		case e.removed:
			delete(m.boxes, id)
		case sb == nil:
			m.t.Errorf("%s: sandbox %s is lost", when, id)
		case e.mark != "":
			if got, ok := m.machine.ReadFile(id, "/mark"); !ok || got != e.mark {
				m.t.Errorf("%s: sandbox %s (%s) lost its file: %q, want %q", when, id, sb.State, got, e.mark)
			}
		case sb.State == sandbox.StateStarted:
			e.mark = id
			m.machine.WriteFile(id, "/mark", e.mark)
		}
	}
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// empty removes everything, after which the machine holds nothing.
func (m *model) empty() {
	m.t.Helper()
	ctx := m.t.Context()
	pools, err := m.sandboxes.Pools(ctx, m.organization)
	for _, p := range pools {
		err = errors.Join(err, m.sandboxes.DeletePool(ctx, m.organization, p.ID))
	}
	for id := range m.boxes {
		_, deleteErr := m.sandboxes.Delete(ctx, m.organization, id)
		err = errors.Join(err, deleteErr)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	rows := m.settle("at the end")
	if disks := m.machine.Disks(); len(rows) != 0 || len(disks) != 0 {
		m.t.Errorf("at the end there are the rows %+v and the disks %v", rows, disks)
	}
	for _, name := range m.snaps {
		if err := m.snapshots.Delete(ctx, m.organization, name, false); err != nil && !fault.Is(err, fault.KindNotFound) {
			m.t.Errorf("delete snapshot %s: %v", name, err)
		}
	}
	time.Sleep(10 * time.Minute)
	if owners, _ := m.images.Owners(ctx); len(owners) != 0 {
		m.t.Errorf("at the end images are held: %v", owners)
	}
}
