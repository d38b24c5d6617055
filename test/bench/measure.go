package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	daytona "github.com/opendaytona/daytona/sdk"
)

// repeat times what runs n times after one that does not count, in
// milliseconds, sorted; with n of 0 it runs once, and that counts.
func repeat(n int, what func() error) ([]float64, error) {
	times := make([]float64, 0, n)
	for i := range n + 1 {
		began := time.Now()
		if err := what(); err != nil {
			return nil, err
		}
		if i > 0 || n == 0 {
			times = append(times, float64(time.Since(began).Microseconds())/1000)
		}
	}
	slices.Sort(times)
	return times, nil
}

func at(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1)+0.5)] }

// add makes a row of our times and the peer's.
func (b *bench) add(name, unit string, ours, peers []float64) {
	r := result{Name: name, Unit: unit, P50: at(ours, 0.5), P95: at(ours, 0.95), Runs: len(ours)}
	if len(peers) > 0 {
		slices.Sort(peers)
		r.Peer = at(peers, 0.5)
		r.Ratio = r.Peer / r.P50
	}
	b.report.Results = append(b.report.Results, r)
	fmt.Fprintf(os.Stderr, "%s: %.1f %s\n", name, r.P50, unit)
}

func (b *bench) create(ctx context.Context) (*daytona.Sandbox, error) {
	return b.client.Create(ctx, daytona.CreateParams{Snapshot: b.snapshot})
}

// createToOutput makes a sandbox, has a command's output, and deletes it.
func (b *bench) createToOutput(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	s, err := b.create(ctx)
	if err != nil {
		return 0, err
	}
	if err := echo(ctx, s); err != nil {
		return 0, err
	}
	took = time.Since(began)
	return took, s.Delete(ctx)
}

// firstOutput is a sandbox from nothing to the first output of a command.
func (b *bench) firstOutput(ctx context.Context) error {
	var ours, peers []float64
	for i := range 31 {
		took, err := b.createToOutput(ctx)
		if err != nil {
			return err
		}
		if i > 0 {
			ours = append(ours, float64(took.Microseconds())/1000)
		}
		// One after the other, so that both see the same machine.
		if b.docker != nil && i%3 == 0 {
			began := time.Now()
			id, err := b.docker.run(ctx)
			if err != nil {
				return err
			}
			if err := b.docker.exec(ctx, id); err != nil {
				return err
			}
			if i > 0 {
				peers = append(peers, float64(time.Since(began).Microseconds())/1000)
			}
			if err := b.docker.remove(ctx, id); err != nil {
				return err
			}
		}
		// Creates do not come in lockstep with the cleaning up of the one before.
		time.Sleep(100 * time.Millisecond)
	}
	slices.Sort(ours)
	b.add("create to first output", "ms", ours, peers)
	return nil
}

func echo(ctx context.Context, s *daytona.Sandbox) error {
	answer, err := s.Process.ExecuteCommand(ctx, "echo x", daytona.ExecuteOptions{})
	if err == nil && answer.Result != "x\n" {
		err = fmt.Errorf("echo said %q", answer.Result)
	}
	return err
}

// exec is a command in a sandbox that runs.
func (b *bench) exec(ctx context.Context) (err error) {
	s, err := b.create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Delete(context.WithoutCancel(ctx))) }()
	ours, err := repeat(200, func() error { return echo(ctx, s) })
	if err != nil {
		return err
	}
	var peers []float64
	if b.docker != nil {
		id, err := b.docker.run(ctx)
		if err != nil {
			return err
		}
		if peers, err = repeat(20, func() error { return b.docker.exec(ctx, id) }); err != nil {
			return err
		}
		if err := b.docker.remove(ctx, id); err != nil {
			return err
		}
	}
	b.add("exec round trip", "ms", ours, peers)
	return nil
}

// parallel is many sandboxes at once, until the last one is started.
func (b *bench) parallel(ctx context.Context) error {
	const n = 50
	made := make([]*daytona.Sandbox, n)
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() (err error) { made[i], err = b.create(gctx); return err })
	}
	err := g.Wait()
	ours := float64(time.Since(began).Milliseconds())
	for _, s := range made {
		if s != nil {
			err = errors.Join(err, s.Delete(context.WithoutCancel(ctx)))
		}
	}
	if err != nil {
		return err
	}
	var peers []float64
	if b.docker != nil {
		ids := make([]string, n)
		began := time.Now()
		g, gctx := errgroup.WithContext(ctx)
		for i := range n {
			g.Go(func() (err error) { ids[i], err = b.docker.run(gctx); return err })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		peers = []float64{float64(time.Since(began).Milliseconds())}
		if err := b.docker.remove(ctx, ids...); err != nil {
			return err
		}
	}
	b.add("50 creates at once", "ms", []float64{ours}, peers)
	return nil
}

// files is the throughput of one large file each way.
func (b *bench) files(ctx context.Context) (err error) {
	const size = 256 << 20
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		return err
	}
	s, err := b.create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Delete(context.WithoutCancel(ctx))) }()
	up, err := repeat(3, func() error { return s.FileSystem.UploadFileStream(ctx, bytes.NewReader(content), "big") })
	if err != nil {
		return err
	}
	down, err := repeat(3, func() error {
		r, err := s.FileSystem.DownloadFileStream(ctx, "big")
		if err != nil {
			return err
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, r)
		if err == nil && n != size {
			err = fmt.Errorf("%d bytes came back", n)
		}
		return err
	})
	if err != nil {
		return err
	}
	var peerUp, peerDown []float64
	if b.docker != nil {
		dir, err := os.MkdirTemp("", "bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		local := filepath.Join(dir, "big")
		if err := os.WriteFile(local, content, 0o600); err != nil {
			return err
		}
		id, err := b.docker.run(ctx)
		if err != nil {
			return err
		}
		if peerUp, err = repeat(3, func() error { _, err := output(ctx, "docker", "cp", local, id+":/big"); return err }); err != nil {
			return err
		}
		if peerDown, err = repeat(3, func() error {
			_, err := output(ctx, "docker", "cp", id+":/big", filepath.Join(dir, "back"))
			return err
		}); err != nil {
			return err
		}
		if err := b.docker.remove(ctx, id); err != nil {
			return err
		}
	}
	b.add("upload of 256 MiB", "ms", up, peerUp)
	b.add("download of 256 MiB", "ms", down, peerDown)
	return nil
}

// pull is an image from the registry to ready layers.
func (b *bench) pull(ctx context.Context, image string) error {
	name := fmt.Sprintf("%s-pull", b.snapshot)
	var ours []float64
	for range 3 {
		took, err := repeat(0, func() error {
			_, err := b.client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: name, Image: image, Entrypoint: []string{"sleep", "infinity"}}, nil)
			return err
		})
		if err == nil {
			err = b.client.Snapshot.Delete(ctx, name)
		}
		if err != nil {
			return err
		}
		ours = append(ours, took...)
		// The image goes soon after nobody holds it.
		time.Sleep(5 * time.Second)
	}
	slices.Sort(ours)
	var peers []float64
	if b.docker != nil {
		peer := dockerName(b.registry, image)
		for range 3 {
			took, err := repeat(0, func() error {
				_, err := output(ctx, "docker", "pull", "--quiet", peer)
				return err
			})
			if err == nil {
				_, err = output(ctx, "docker", "rmi", "--force", peer)
			}
			if err != nil {
				return err
			}
			peers = append(peers, took...)
		}
	}
	b.add("pull and unpack "+image, "ms", ours, peers)
	return nil
}

// server is the server's own memory.
func (b *bench) server(pid int) error {
	kib, err := field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	if err != nil {
		return err
	}
	b.add("server's resident memory", "MiB", []float64{kib / 1024}, nil)
	return nil
}

// idle is what a sandbox that does nothing costs of the machine's memory.
func (b *bench) idle(ctx context.Context, n int) (err error) {
	before, err := field("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return err
	}
	var made []*daytona.Sandbox
	defer func() {
		for _, s := range made {
			err = errors.Join(err, s.Delete(context.WithoutCancel(ctx)))
		}
	}()
	for range n {
		s, err := b.create(ctx)
		if err != nil {
			return err
		}
		made = append(made, s)
	}
	time.Sleep(2 * time.Second)
	after, err := field("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return err
	}
	b.add(fmt.Sprintf("memory of each of %d idle sandboxes", n), "MiB", []float64{(before - after) / 1024 / float64(n)}, nil)
	return nil
}

// field is the number after a word in a file of /proc.
func field(path, name string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
