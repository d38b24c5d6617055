package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/opendaytona/daytona/internal/controller"
)

// jobBuckets are in seconds: a step of a row takes milliseconds, a build up to an
// hour.
var jobBuckets = []float64{.001, .005, .02, .1, .5, 1, 5, 15, 60, 300, 1200, 3600}

// jobs are the runs of the controller's jobs.
type jobs struct {
	durations *prometheus.HistogramVec
	failures  *prometheus.CounterVec
}

func newJobs(r prometheus.Registerer) jobs {
	j := jobs{
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "daytona_job_duration_seconds", Help: "Time of the runs of jobs, waits for their turn not counted, by class.", Buckets: jobBuckets,
		}, []string{"class"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "daytona_job_failures_total", Help: "Runs of jobs that failed, by class.",
		}, []string{"class"}),
	}
	r.MustRegister(j.durations, j.failures)
	return j
}

// JobRan is told of each run of a job.
func (m *Metrics) JobRan(class string, took time.Duration, failed bool) {
	m.jobs.durations.WithLabelValues(class).Observe(took.Seconds())
	if failed {
		m.jobs.failures.WithLabelValues(class).Inc()
	}
}

// WatchJobs adds how many jobs there are at the moment of asking.
func (m *Metrics) WatchJobs(stats func() []controller.Stats) {
	m.Registry.MustRegister(jobCounter(stats))
}

// jobCounter counts the jobs of each class.
type jobCounter func() []controller.Stats

var (
	jobsWaitingDesc  = prometheus.NewDesc("daytona_jobs_waiting", "Jobs that wait for their turn, by class.", []string{"class"}, nil)
	jobsRunningDesc  = prometheus.NewDesc("daytona_jobs_running", "Jobs that run, by class.", []string{"class"}, nil)
	jobsRetryingDesc = prometheus.NewDesc("daytona_jobs_retrying", "Jobs that failed and wait to be repeated, by class.", []string{"class"}, nil)
)

// Describe implements prometheus.Collector.
func (jobCounter) Describe(to chan<- *prometheus.Desc) {
	to <- jobsWaitingDesc
	to <- jobsRunningDesc
	to <- jobsRetryingDesc
}

// Collect implements prometheus.Collector.
func (j jobCounter) Collect(to chan<- prometheus.Metric) {
	for _, s := range j() {
		to <- prometheus.MustNewConstMetric(jobsWaitingDesc, prometheus.GaugeValue, float64(s.Waiting), s.Class)
		to <- prometheus.MustNewConstMetric(jobsRunningDesc, prometheus.GaugeValue, float64(s.Running), s.Class)
		to <- prometheus.MustNewConstMetric(jobsRetryingDesc, prometheus.GaugeValue, float64(s.Retrying), s.Class)
	}
}
