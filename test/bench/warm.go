package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// warm is the same as firstOutput, of sandboxes that were started ahead.
func (b *bench) warm(ctx context.Context) (err error) {
	const size = 8
	pool, err := b.client.WarmPool.Create(ctx, b.snapshot, size, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.client.WarmPool.Delete(context.WithoutCancel(ctx), pool.ID)) }()
	var times []float64
	for i := range 31 {
		if err := b.full(ctx, pool.ID); err != nil {
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

func (b *bench) full(ctx context.Context, id string) error {
	for {
		pool, err := b.client.WarmPool.Get(ctx, id)
		if err != nil {
			return err
		}
		if pool.CurrentSize == pool.Pool {
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
