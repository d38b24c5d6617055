package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a controller that runs in a bubble.
type bench struct {
	*testing.T
	*Controller
	log *bytes.Buffer

	mu       sync.Mutex
	order    []string // keys, as their runs began
	running  map[string]int
	overlaps int
	most     int
	observed []string
}

func in(t *testing.T, f func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, log: &bytes.Buffer{}, running: map[string]int{}}
		b.Controller = New(Options{Log: slog.New(slog.NewTextHandler(b.log, nil)), Observe: func(class string, took time.Duration, failed bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.observed = append(b.observed, fmt.Sprintf("%s %v %t", class, took, failed))
		}})
		f(b)
		if b.overlaps > 0 {
			t.Errorf("a key had two runs at once, %d times", b.overlaps)
		}
		// The bubble fails when a goroutine is left.
	})
}

// start runs the controller until the end of f, or until stop.
func (b *bench) start() (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Controller.Run(ctx) }()
	synctest.Wait()
	return func() {
		b.Helper()
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		for _, s := range b.Stats() {
			if s.Waiting+s.Running+s.Retrying > 0 {
				b.Errorf("in the end: %+v", s)
			}
		}
	}
}

// pass lets time pass, and what is due then happen.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// recorded is a run that is written down.
func (b *bench) recorded(run func(context.Context, *Task) error) func(context.Context, *Task) error {
	return func(ctx context.Context, t *Task) error {
		b.mu.Lock()
		b.order = append(b.order, t.Key)
		if b.running[t.Key]++; b.running[t.Key] > 1 {
			b.overlaps++
		}
		all := 0
		for _, n := range b.running {
			all += n
		}
		b.most = max(b.most, all)
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.running[t.Key]--
		}()
		return run(ctx, t)
	}
}

func (b *bench) runs(key string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.order {
		if k == key {
			n++
		}
	}
	return n
}

// lasts is a run of that time.
func lasts(d time.Duration) func(context.Context, *Task) error {
	return func(ctx context.Context, _ *Task) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestOneOrganizationsManyBuildsDoNotMakeAnothersWaitForAll(t *testing.T) {
	in(t, func(b *bench) {
		builds := b.Class(ClassOptions{Name: "build", Limit: 2, Run: b.recorded(lasts(time.Minute))})
		defer b.start()()
		for i := range 200 {
			builds.Add(Job{Key: fmt.Sprint("many ", i), Tenant: "many"})
		}
		synctest.Wait()
		began := time.Now()
		if err := builds.Do(b.Context(), Job{Key: "few", Tenant: "few"}); err != nil {
			b.Error(err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			b.Errorf("it took %v", took)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.most != 2 {
			b.Errorf("%d ran at once", b.most)
		}
	})
}

func TestJobsRunInTheOrderInWhichTheyWereAdded(t *testing.T) {
	in(t, func(b *bench) {
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(lasts(time.Second))})
		var want []string
		for i := range 100 {
			if i == 50 {
				defer b.start()()
			}
			want = append(want, fmt.Sprint(i))
			class.Add(Job{Key: want[i]})
		}
		b.pass(time.Hour)
		if !slices.Equal(b.order, want) {
			b.Errorf("ran %v", b.order)
		}
	})
}

func TestAFullClassDelaysNoOther(t *testing.T) {
	in(t, func(b *bench) {
		pulls := b.Class(ClassOptions{Name: "pull", Limit: 8, PerTenant: 4, Run: b.recorded(lasts(time.Hour))})
		rows := b.Class(ClassOptions{Name: "lifecycle", Limit: 1, Run: b.recorded(lasts(time.Second))})
		defer b.start()()
		for i := range 20 {
			pulls.Add(Job{Key: fmt.Sprint("slow ", i), Tenant: fmt.Sprint(i % 2)})
		}
		synctest.Wait()
		began := time.Now()
		if err := rows.Do(b.Context(), Job{Key: "row"}); err != nil || time.Since(began) > time.Second {
			b.Errorf("%v after %v", err, time.Since(began))
		}
		if got := b.Stats(); got[0] != (Stats{Class: "pull", Waiting: 12, Running: 8}) {
			b.Errorf("%+v", got)
		}
		for i := range 20 { // which wait and which run
			pulls.Cancel(fmt.Sprint("slow ", i))
		}
		synctest.Wait()
		if got := b.Stats(); got[0] != (Stats{Class: "pull"}) {
			b.Errorf("after all were cancelled: %+v", got)
		}
	})
}

func TestWhatIsAddedDuringARunRunsOnceMore(t *testing.T) {
	in(t, func(b *bench) {
		class := b.Class(ClassOptions{Name: "x", Limit: 4, Run: b.recorded(lasts(time.Second))})
		for range 3 { // before it runs
			class.Add(Job{Key: "a"})
		}
		defer b.start()()
		for range 3 {
			class.Add(Job{Key: "a"})
		}
		b.pass(time.Minute)
		if n := b.runs("a"); n != 2 {
			b.Errorf("%d runs", n)
		}
	})
}

func TestAFailureIsRepeatedAfterGrowingPausesThatTheLogShows(t *testing.T) {
	in(t, func(b *bench) {
		var at []time.Duration
		began := time.Now()
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Pause: time.Second, MaxPause: 5 * time.Second, Run: func(context.Context, *Task) error {
			at = append(at, time.Since(began))
			if len(at) < 6 {
				return errors.New("the engine is busy")
			}
			return nil
		}})
		defer b.start()()
		class.Add(Job{Key: "a"})
		b.pass(time.Second / 2)
		if got := b.Stats(); got[0] != (Stats{Class: "x", Retrying: 1}) {
			b.Errorf("while it pauses: %+v", got)
		}
		b.pass(time.Minute)
		var want []time.Duration
		for _, s := range []int{0, 1, 3, 7, 12, 17} {
			want = append(want, time.Duration(s)*time.Second)
		}
		if !slices.Equal(at, want) {
			b.Errorf("runs at %v, want %v", at, want)
		}
		if log := b.log.String(); strings.Count(log, "job failed, will be repeated") != 5 || !strings.Contains(log, `class=x key=a err="the engine is busy" failures=3 pause=4s`) {
			b.Errorf("the log is %s", log)
		}
		if len(b.observed) != 6 || b.observed[0] != "x 0s true" || b.observed[5] != "x 0s false" {
			b.Errorf("observed: %v", b.observed)
		}
		// After a success it begins anew.
		at = at[:4]
		class.Add(Job{Key: "a"})
		b.pass(1500 * time.Millisecond)
		if len(at) != 6 {
			b.Errorf("%d runs", len(at))
		}
	})
}

func TestAJobThatAsksForItselfAndFailsPauses(t *testing.T) {
	in(t, func(b *bench) {
		var class *Class
		class = b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(func(_ context.Context, t *Task) error {
			class.Add(t.Job)
			return errors.New("no")
		})})
		stop := b.start()
		class.Add(Job{Key: "a"})
		b.pass(10*time.Second + time.Second/2)
		stop()
		if n := b.runs("a"); n != 11 {
			b.Errorf("%d runs in 10 s", n)
		}
	})
}

func TestAnAddEndsAPause(t *testing.T) {
	in(t, func(b *bench) {
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(lasts(0))})
		defer b.start()()
		class.AddAfter(Job{Key: "a"}, time.Hour)
		class.AddAfter(Job{Key: "a"}, time.Minute)
		class.AddAfter(Job{Key: "a"}, 2*time.Minute)
		b.pass(time.Minute + time.Second)
		if n := b.runs("a"); n != 1 {
			b.Errorf("%d runs after the shortest pause", n)
		}
		class.AddAfter(Job{Key: "a"}, time.Hour)
		class.Add(Job{Key: "a"})
		b.pass(2 * time.Hour)
		if n := b.runs("a"); n != 2 {
			b.Errorf("%d runs", n)
		}
	})
}

func TestAPermanentErrorIsToldAndNotRepeated(t *testing.T) {
	in(t, func(b *bench) {
		refused := errors.New("too small")
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(func(context.Context, *Task) error { return Permanent(refused) })})
		defer b.start()()
		if err := class.Do(b.Context(), Job{Key: "a"}); !errors.Is(err, refused) {
			b.Errorf("got %v", err)
		}
		b.pass(time.Hour)
		if n := b.runs("a"); n != 1 {
			b.Errorf("%d runs", n)
		}
	})
}

func TestWhoWaitsForAJobGetsARunThatBeganAfterwards(t *testing.T) {
	in(t, func(b *bench) {
		n := 0
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: func(ctx context.Context, _ *Task) error {
			n++
			of := n
			time.Sleep(time.Second)
			if of == 2 {
				return errors.New("the second")
			}
			return nil
		}})
		defer b.start()()
		class.Add(Job{Key: "a"})
		synctest.Wait()
		if err := class.Do(b.Context(), Job{Key: "a"}); err == nil || n != 2 {
			b.Errorf("after run %d: %v", n, err)
		}
		// Who gives up does not end the job.
		ctx, cancel := context.WithTimeout(b.Context(), time.Second/2)
		defer cancel()
		if err := class.Do(ctx, Job{Key: "b"}); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("got %v", err)
		}
		b.pass(time.Minute)
		if n != 4 { // a's repeat, and b
			b.Errorf("%d runs", n)
		}
	})
}

func TestStopEndsAJobAndWaitsForItsEnd(t *testing.T) {
	in(t, func(b *bench) {
		var ended atomic.Bool
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(func(ctx context.Context, t *Task) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended.Store(true)
			return ctx.Err()
		})})
		defer b.start()()
		class.Add(Job{Key: "a"})
		class.Add(Job{Key: "waits"})
		synctest.Wait()
		class.Add(Job{Key: "a"}) // which Stop takes back
		ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
		defer cancel()
		if err := class.Stop(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) || ended.Load() {
			b.Errorf("got %v", err)
		}
		for _, key := range []string{"waits", "a", "unknown"} {
			if err := class.Stop(b.Context(), key); err != nil {
				b.Error(err)
			}
		}
		if !ended.Load() || b.runs("a") != 1 || b.runs("waits") != 0 {
			b.Errorf("ended %t, runs %v", ended.Load(), b.order)
		}
		class.Add(Job{Key: "a"})
		synctest.Wait()
		if b.runs("a") != 2 {
			b.Error("what is added later does not run")
		}
	})
}

func TestRestartCancelsTheRunThatGoesOnAndKeepsThePlaceOfOneThatWaits(t *testing.T) {
	in(t, func(b *bench) {
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(lasts(time.Hour))})
		defer b.start()()
		for _, key := range []string{"a", "b", "c"} {
			class.Add(Job{Key: key})
		}
		synctest.Wait()
		class.Restart(Job{Key: "b"})
		class.Restart(Job{Key: "a"})
		synctest.Wait()
		class.Cancel("b")
		synctest.Wait()
		class.Cancel("c")
		synctest.Wait()
		if want := []string{"a", "b", "c", "a"}; !slices.Equal(b.order, want) {
			b.Errorf("runs %v, want %v", b.order, want)
		}
	})
}

func TestATaskThatLeftItsPlaceComesBackBeforeThoseThatHaveNotBegun(t *testing.T) {
	in(t, func(b *bench) {
		var steps []string
		step := func(t *Task, what any) {
			b.mu.Lock()
			defer b.mu.Unlock()
			steps = append(steps, fmt.Sprint(t.Key, " ", what))
		}
		class := b.Class(ClassOptions{Name: "x", Limit: 1, OwnTurn: true, Run: func(ctx context.Context, t *Task) error {
			t.Moved = func(place int) { step(t, place) }
			for range 2 {
				if err := t.Enter(ctx); err != nil {
					return err
				}
			}
			step(t, "works")
			time.Sleep(time.Second)
			if t.Key == "a" {
				for range 2 {
					t.Leave()
				}
				time.Sleep(time.Second / 2)
				if err := t.Enter(ctx); err != nil {
					return err
				}
				step(t, "works again")
				time.Sleep(time.Second)
			}
			return nil
		}})
		defer b.start()()
		for _, key := range []string{"a", "b", "c"} {
			class.Add(Job{Key: key})
			synctest.Wait()
		}
		b.pass(time.Minute)
		if want := []string{"a works", "b 1", "c 2", "b works", "c 1", "a 1", "c 2", "a works again", "c 1", "c works"}; !slices.Equal(sorted(steps), sorted(want)) || steps[7] != "a works again" && steps[8] != "a works again" {
			b.Errorf("got %q, want %q", steps, want)
		}
		if !slices.Equal(b.observed, []string{"x 1s false", "x 2s false", "x 1s false"}) {
			b.Errorf("observed %v", b.observed)
		}
	})
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestAResyncAddsWhatNobodySignalled(t *testing.T) {
	in(t, func(b *bench) {
		fails := true
		class := b.Class(ClassOptions{Name: "x", Limit: 2, MaxPause: time.Hour, Pause: time.Hour, Run: b.recorded(func(_ context.Context, t *Task) error {
			if t.Key == "fails" {
				return errors.New("no")
			}
			return nil
		}), Resync: func(context.Context) ([]Job, error) {
			if fails {
				fails = false
				return nil, errors.New("the database is busy")
			}
			return []Job{{Key: "lost"}, {Key: "fails"}}, nil
		}})
		defer b.start()()
		class.Add(Job{Key: "fails"})
		b.pass(2*DefaultResync + time.Second)
		if b.runs("lost") != 1 || b.runs("fails") != 1 { // which pauses
			b.Errorf("runs %v", b.order)
		}
		if !strings.Contains(b.log.String(), "the database is busy") {
			b.Errorf("the log is %s", b.log)
		}
	})
}

func TestARunHasItsTimeoutAndAPanicIsAFailure(t *testing.T) {
	in(t, func(b *bench) {
		class := b.Class(ClassOptions{Name: "x", Limit: 2, Timeout: time.Minute, Run: b.recorded(func(ctx context.Context, t *Task) error {
			if t.Key == "panics" && b.runs("panics") == 1 {
				panic("a row like no other")
			}
			if t.Key == "hangs" && b.runs("hangs") == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})})
		defer b.start()()
		if err := class.Do(b.Context(), Job{Key: "panics"}); err == nil || !strings.Contains(err.Error(), "a row like no other") {
			b.Errorf("got %v", err)
		}
		if err := class.Do(b.Context(), Job{Key: "hangs"}); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("got %v", err)
		}
		b.pass(10 * time.Second)
		if b.runs("panics") != 2 || b.runs("hangs") != 2 {
			b.Errorf("runs %v", b.order)
		}
	})
}

func TestTheEndLeavesNoJobAndNoGoroutine(t *testing.T) {
	in(t, func(b *bench) {
		class := b.Class(ClassOptions{Name: "x", Limit: 1, Run: b.recorded(func(ctx context.Context, t *Task) error {
			if t.Key == "fails" {
				return errors.New("no")
			}
			return lasts(time.Hour)(ctx, t)
		})})
		stop := b.start()
		class.Add(Job{Key: "fails"})
		class.Add(Job{Key: "runs"})
		synctest.Wait()
		class.Add(Job{Key: "runs"})
		class.Add(Job{Key: "waits"})
		class.AddAfter(Job{Key: "pauses"}, time.Hour)
		outcome := make(chan error, 2)
		for _, key := range []string{"runs", "waits"} {
			go func() { outcome <- class.Do(context.Background(), Job{Key: key}) }()
		}
		synctest.Wait()
		stop()
		for range 2 {
			if err := <-outcome; err == nil {
				b.Error("who waited is told that the job was done")
			}
		}
		if err := class.Do(b.Context(), Job{Key: "late"}); !errors.Is(err, errEnded) {
			b.Errorf("got %v", err)
		}
		class.Add(Job{Key: "late"})
		b.pass(2 * time.Hour)
		if b.runs("late") != 0 || b.runs("runs") != 1 {
			b.Errorf("runs %v", b.order)
		}
	})
}
