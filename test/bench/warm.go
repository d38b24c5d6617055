package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

// call makes a request that the SDK has no method for.
func call(ctx context.Context, method, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, os.Getenv("DAYTONA_API_URL")+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+os.Getenv("DAYTONA_API_KEY"))
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}

// warm is the same as firstOutput, of sandboxes that were started ahead.
func (b *bench) warm(ctx context.Context) (err error) {
	const size = 8
	var pool api.WarmPool
	if err := call(ctx, http.MethodPost, "/warm-pools", api.CreateWarmPool{Snapshot: b.snapshot, Pool: size}, &pool); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, call(context.WithoutCancel(ctx), http.MethodDelete, "/warm-pools/"+pool.ID, nil, nil))
	}()
	var times []float64
	for i := range 31 {
		if err := full(ctx, pool.ID); err != nil {
			return err
		}
		took, err := b.createToOutput(ctx)
		if err != nil {
			return err
		}
		if i > 0 {
			times = append(times, float64(took.Microseconds())/1000)
		}
	}
	slices.Sort(times)
	b.add("create to first output, from a warm pool", "ms", times, nil)
	return nil
}

func full(ctx context.Context, id string) error {
	for {
		var pools []api.WarmPool
		if err := call(ctx, http.MethodGet, "/warm-pools", nil, &pools); err != nil {
			return err
		}
		i := slices.IndexFunc(pools, func(p api.WarmPool) bool { return p.ID == id })
		if i >= 0 && pools[i].CurrentSize == pools[i].Pool {
			time.Sleep(100 * time.Millisecond) // its making is over for the machine too
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fork is a sandbox from a running one's disk of 256 MiB to its first output.
func (b *bench) fork(ctx context.Context) (err error) {
	parent, err := b.create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parent.Delete(context.WithoutCancel(ctx))) }()
	if _, err := parent.Process.ExecuteCommand(ctx, "head -c 268435456 /dev/zero >/tmp/big; sync", daytona.ExecuteOptions{}); err != nil {
		return err
	}
	times, err := repeat(10, func() error {
		s, err := parent.Fork(ctx, "")
		if err != nil {
			return err
		}
		return errors.Join(echo(ctx, s), s.Delete(ctx))
	})
	if err != nil {
		return err
	}
	b.add("fork of a running sandbox to first output", "ms", times, nil)
	return nil
}

// steady creates and deletes sandboxes at a rate for a while, and tells how long
// a create took meanwhile.
func (b *bench) steady(ctx context.Context, perSecond int, length time.Duration) error {
	var mu sync.Mutex
	var times []float64
	var failed error
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	began := time.Now()
	for time.Since(began) < length {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		all.Go(func() {
			began := time.Now()
			s, err := b.create(ctx)
			took := float64(time.Since(began).Microseconds()) / 1000
			if err == nil {
				err = s.Delete(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			times, failed = append(times, took), errors.Join(failed, err)
		})
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	slices.Sort(times)
	b.add(fmt.Sprintf("create, at %d creates a second for %s", perSecond, length), "ms", times, nil)
	return nil
}
