// Command bench measures a running server by its API, as a client sees it, and
// docker beside it in the same run where a daemon answers. It prints a table,
// and with -json a file. DAYTONA_API_URL and DAYTONA_API_KEY name the server
// (eval "$(make -s up)"); -registry is the fixture registry, for pulls.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// result is one row. Peer is docker's figure, 0 without one.
type result struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95,omitempty"`
	Peer  float64 `json:"docker,omitempty"`
	Ratio float64 `json:"ratio,omitempty"` // docker's figure to ours; for throughput ours to docker's
	Runs  int     `json:"runs"`
}

// report is the whole run.
type report struct {
	At      time.Time `json:"at"`
	CPUs    int       `json:"cpus"`
	Kernel  string    `json:"kernel"`
	Docker  string    `json:"dockerVersion,omitempty"`
	Results []result  `json:"results"`
}

// bench is what the measurements share.
type bench struct {
	client   *daytona.Client
	docker   *docker // nil without a daemon
	image    string  // of all measurements, in the registry
	registry string
	snapshot string
	report   report
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var b bench
	image := flag.String("image", "python:3.12-slim", "image to measure with, in the registry")
	registry := flag.String("registry", "", "HOST:PORT of the registry that stands in for docker.io; no pulls are measured without it")
	out := flag.String("json", "", "file to write the results to")
	idle := flag.Int("idle", 200, "idle sandboxes to weigh; 0 leaves it out")
	steady := flag.Int("rate", 20, "creates a second, kept up for a minute; 0 leaves it out")
	pid := flag.Int("server", 0, "pid of the server, to weigh it")
	large := flag.String("pull", "fixtures/large:1", "image to pull, which nothing else uses: bin/registry -large serves this one")
	only := flag.String("only", "", "measure build, context, pull, warm or fork alone")
	flag.Parse()
	b.image, b.registry = *image, *registry
	if b.client, err = daytona.NewClient(); err != nil {
		return err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	b.report = report{At: time.Now().UTC(), CPUs: runtime.NumCPU(), Kernel: strings.TrimSpace(string(kernel))}
	if b.docker, b.report.Docker, err = findDocker(ctx, b.registry, b.image); err != nil {
		return err
	}
	b.snapshot = fmt.Sprintf("bench-%d", os.Getpid())
	if err := b.makeSnapshot(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.client.Snapshot.Delete(context.WithoutCancel(ctx), b.snapshot)) }()

	measures := []func(context.Context) error{b.firstOutput, b.warm, b.fork, b.exec, b.parallel, b.files, b.build, b.context}
	pull := func(ctx context.Context) error { return b.pull(ctx, *large) }
	if *only != "" {
		named := map[string]func(context.Context) error{"build": b.build, "context": b.context, "pull": pull, "warm": b.warm, "fork": b.fork}
		if measures = []func(context.Context) error{named[*only]}; measures[0] == nil {
			return fmt.Errorf("-only %s: it knows build, context, pull, warm and fork", *only)
		}
		*pid, *idle, *steady = 0, 0, 0
	} else if b.registry != "" {
		measures = append(measures, pull)
	}
	if *steady > 0 {
		measures = append(measures, func(ctx context.Context) error { return b.steady(ctx, *steady, time.Minute) })
	}
	if *pid != 0 {
		measures = append(measures, func(context.Context) error { return b.server(*pid) })
	}
	if *idle > 0 {
		measures = append(measures, func(ctx context.Context) error { return b.idle(ctx, *idle) })
	}
	for _, m := range measures {
		if err := m(ctx); err != nil {
			return err
		}
	}
	b.print()
	if *out == "" {
		return nil
	}
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

func (b *bench) makeSnapshot(ctx context.Context) error {
	_, err := b.client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: b.snapshot, Image: b.image}, nil)
	if err != nil {
		return fmt.Errorf("make the snapshot: %w", err)
	}
	return nil
}

func (b *bench) print() {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tunit\tp50\tp95\tdocker\tratio\truns")
	for _, r := range b.report.Results {
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%s\t%s\t%s\t%d\n", r.Name, r.Unit, r.P50, optional(r.P95, "%.1f"), optional(r.Peer, "%.1f"), optional(r.Ratio, "%.1f×"), r.Runs)
	}
	t.Flush()
	fmt.Printf("%d CPUs, Linux %s, docker %s\n", b.report.CPUs, b.report.Kernel, b.report.Docker)
}

func optional(v float64, format string) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}
