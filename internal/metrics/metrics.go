// Package metrics holds what Prometheus may know of the server.
package metrics

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Metrics is what Prometheus may know of the server.
type Metrics struct {
	Registry *prometheus.Registry
	clock    clock.PassiveClock
	requests *prometheus.HistogramVec
	creates  *prometheus.HistogramVec
	pulls    *prometheus.HistogramVec
	oomKills prometheus.Counter
	jobs     jobs

	mu    sync.Mutex
	begun map[string]time.Time // pulls, by snapshot id
}

// Buckets in seconds: a command in a sandbox takes a few milliseconds, a create
// some tens of them, a pull up to many minutes.
var (
	requestBuckets = []float64{.001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 2, 5, 10, 30, 60}
	createBuckets  = []float64{.01, .02, .03, .04, .06, .08, .1, .15, .25, .5, 1, 2, 5, 10, 30, 60, 300}
	pullBuckets    = []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280}
)

func New(version string, c clock.PassiveClock) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(), clock: c, begun: make(map[string]time.Time),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "daytona_http_request_duration_seconds", Help: "Time of HTTP requests until their last byte, by operation and status.", Buckets: requestBuckets,
		}, []string{"operation", "status"}),
		creates: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "daytona_sandbox_create_duration_seconds", Help: "Time from the request for a sandbox until it started, or failed to.", Buckets: createBuckets,
		}, []string{"outcome"}),
		pulls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "daytona_snapshot_pull_duration_seconds", Help: "Time in which a snapshot's image was brought here and unpacked, or was not.", Buckets: pullBuckets,
		}, []string{"outcome"}),
		oomKills: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "daytona_sandbox_oom_kills_total", Help: "Processes that the kernel killed because their sandbox had reached its memory limit.",
		}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "daytona_build_info", Help: "Always 1; its label is the server's version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.Registry.MustRegister(m.requests, m.creates, m.pulls, m.oomKills, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.jobs = newJobs(m.Registry)
	return m
}

// OutOfMemory is told of kills for the memory limit of a sandbox.
func (m *Metrics) OutOfMemory(_ string, killed int64) { m.oomKills.Add(float64(killed)) }

// Watch adds what is counted at the moment of asking.
func (m *Metrics) Watch(
	sandboxes, snapshots func(context.Context) (map[string]int, error), connections func() int,
) {
	m.Registry.MustRegister(rowCounter{sandboxes, snapshots}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "daytona_event_connections", Help: "Clients that listen to events now.",
	}, func() float64 { return float64(connections()) }))
}

// Requested records one HTTP request. A sandbox can answer with any number, and
// must not fill the memory with them.
func (m *Metrics) Requested(operation string, status int, took time.Duration) {
	label := "other"
	if http.StatusText(status) != "" || status == statusClientGone {
		label = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(operation, label).Observe(took.Seconds())
}

// statusClientGone is how httpapi answers nobody.
const statusClientGone = 499

// SandboxMoved is told of each transition.
func (m *Metrics) SandboxMoved(s *sandbox.Sandbox, old sandbox.State) {
	failed := s.State == sandbox.StateError && old == sandbox.StatePulling
	if old == sandbox.StateCreating && (s.State == sandbox.StateStarted || s.State == sandbox.StateError) || failed {
		m.creates.WithLabelValues(string(s.State)).Observe(m.clock.Since(s.CreatedAt).Seconds())
	}
}

// SnapshotMoved is told of each transition.
func (m *Metrics) SnapshotMoved(s *snapshot.Snapshot, old snapshot.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case s.State == snapshot.StatePulling:
		m.begun[s.ID] = m.clock.Now()
	case old == snapshot.StatePulling:
		if at, ok := m.begun[s.ID]; ok { // or it began before this server did
			m.pulls.WithLabelValues(string(s.State)).Observe(m.clock.Since(at).Seconds())
			delete(m.begun, s.ID)
		}
	}
}

// rowCounter counts sandboxes and snapshots by state.
type rowCounter struct {
	sandboxes func(context.Context) (map[string]int, error)
	snapshots func(context.Context) (map[string]int, error)
}

var (
	sandboxesDesc = prometheus.NewDesc("daytona_sandboxes", "Sandboxes of all organizations, by state.", []string{"state"}, nil)
	snapshotsDesc = prometheus.NewDesc("daytona_snapshots", "Snapshots of all organizations, by state.", []string{"state"}, nil)
)

// countPatience bounds how long a scrape may wait for the database.
const countPatience = 5 * time.Second

// Describe implements prometheus.Collector.
func (rowCounter) Describe(to chan<- *prometheus.Desc) {
	to <- sandboxesDesc
	to <- snapshotsDesc
}

// Collect implements prometheus.Collector.
func (r rowCounter) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countPatience)
	defer cancel()
	sandboxes := map[string]int{string(sandbox.StateStarted): 0, string(sandbox.StateStopped): 0, string(sandbox.StateError): 0}
	all, err := r.sandboxes(ctx)
	maps.Copy(sandboxes, all)
	send(to, sandboxesDesc, sandboxes, err)
	snapshots := map[string]int{string(snapshot.StateActive): 0, string(snapshot.StateInactive): 0, string(snapshot.StateError): 0}
	templates, err := r.snapshots(ctx)
	maps.Copy(snapshots, templates)
	send(to, snapshotsDesc, snapshots, err)
}

func send(to chan<- prometheus.Metric, desc *prometheus.Desc, counts map[string]int, err error) {
	if err != nil {
		to <- prometheus.NewInvalidMetric(desc, fmt.Errorf("count rows: %w", err))
		return
	}
	for state, n := range counts {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), state)
	}
}
