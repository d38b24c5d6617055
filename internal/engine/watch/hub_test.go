package watch

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/opendaytona/daytona/internal/engine"
)

func TestAWatchBeginsWithAResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		defer h.Close()
		h.Changed("before")
		events := h.Watch(t.Context())
		if e := <-events; !e.Resync {
			t.Errorf("got %+v", e)
		}
		synctest.Wait()
		select {
		case e := <-events:
			t.Errorf("then %+v", e)
		default:
		}
	})
}

func TestASlowReaderHoldsUpNobodyAndMissesNoSandbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		slow, quick := h.Watch(t.Context()), h.Watch(t.Context())
		go func() {
			for range quick {
			}
		}()
		for range 3 {
			for i := range 1000 {
				h.Changed(fmt.Sprint(i))
			}
		}
		seen := map[engine.Event]int{}
		for range 1001 {
			seen[<-slow]++
		}
		if len(seen) != 1001 {
			t.Errorf("%d different events in 1001", len(seen))
		}
		h.Close()
		if _, open := <-slow; open {
			t.Error("there was another one")
		}
	})
}

func TestAChangeAfterAnEventWasReadIsAnotherEvent(t *testing.T) {
	var h Hub
	defer h.Close()
	events := h.Watch(t.Context())
	<-events
	for range 3 {
		h.Changed("a")
		if e := <-events; e.ID != "a" {
			t.Fatalf("got %+v", e)
		}
	}
}

func TestAWatchEndsWithItsContextAndWithTheHub(t *testing.T) {
	var h Hub
	ctx, cancel := context.WithCancel(t.Context())
	mine, other := h.Watch(ctx), h.Watch(t.Context())
	cancel()
	for range mine {
	}
	h.Changed("a")
	if e := <-other; !e.Resync {
		t.Errorf("got %+v", e)
	}
	if e := <-other; e.ID != "a" {
		t.Errorf("got %+v", e)
	}
	h.Close()
	h.Close()
	for range other {
	}
	for range h.Watch(t.Context()) {
		t.Error("a watch of a closed hub has events")
	}
}
