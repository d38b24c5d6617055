// Package metrics tells what the sandbox uses of its CPU, memory and disk: of
// its own control group where that is visible, else of the machine. It imports
// nothing of the project but boot, cgroup and wire.
package metrics

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers /system/metrics.
type Service struct {
	group *cgroup.Group
	root  string // of the file system, other than "/" in tests

	mu   sync.Mutex
	last sample
}

// sample is the CPU time used until a moment.
type sample struct {
	at   time.Time
	used time.Duration
}

// New makes the service of the sandbox that is this group.
func New(group *cgroup.Group) *Service { return &Service{group: group, root: "/"} }

// Register adds the service's route.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("GET /system/metrics", wire.Handler(s.get))
}

// view is the answer; bytes are bytes and the CPU's share is of all that the
// sandbox may use, from 0 to 100.
type view struct {
	CPUCount      int     `json:"cpuCount"`
	CPUUsedPct    float64 `json:"cpuUsedPct"`
	MemTotal      uint64  `json:"memTotal"`
	MemUsed       uint64  `json:"memUsed"`
	MemCache      uint64  `json:"memCache"`
	OOMKills      int64   `json:"oomKills"` // processes that were killed for memory since the start
	DiskTotal     uint64  `json:"diskTotal"`
	DiskUsed      uint64  `json:"diskUsed"`
	DiskFree      uint64  `json:"diskFree"`
	Timestamp     string  `json:"timestamp"`
	TimestampUnix int64   `json:"timestampUnix"`
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	cores := s.group.Quota()
	if cores == 0 {
		cores = float64(s.group.Cores())
	}
	pct, err := s.cpu(r, cores)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	v := view{
		CPUCount: int(math.Ceil(cores)), CPUUsedPct: pct,
		Timestamp: now.Format(time.RFC3339Nano), TimestampUnix: now.Unix(),
	}
	v.MemTotal, v.MemUsed, v.MemCache = s.memory()
	v.OOMKills = s.group.OOMKills()
	v.DiskTotal, v.DiskUsed, v.DiskFree = s.disk(r.Header)
	wire.JSON(w, http.StatusOK, v)
	return nil
}

// disk is the sandbox's own where the server told of it, else the whole
// filesystem. What is free is never more than the filesystem has.
func (s *Service) disk(told http.Header) (total, used, free uint64) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.root, &fs); err == nil {
		block := uint64(fs.Bsize)
		total, used, free = fs.Blocks*block, (fs.Blocks-fs.Bfree)*block, fs.Bavail*block
	}
	limit, err := strconv.ParseUint(told.Get(boot.DiskLimit), 10, 64)
	own, err2 := strconv.ParseUint(told.Get(boot.DiskUsed), 10, 64)
	if err == nil && err2 == nil {
		total, used, free = limit, own, min(free, limit-min(own, limit))
	}
	return total, used, free
}

// shortest is the time over which the use of the CPU is measured at least.
const shortest = 100 * time.Millisecond

// cpu measures since the last call, or over the shortest time when that is long
// ago or has just been.
func (s *Service) cpu(r *http.Request, cores float64) (float64, error) {
	s.mu.Lock()
	from := s.last
	s.mu.Unlock()
	if age := time.Since(from.at); age < shortest || age > time.Minute {
		from = sample{time.Now(), s.cpuTime()}
		select {
		case <-time.After(shortest):
		case <-r.Context().Done():
			return 0, r.Context().Err()
		}
	}
	to := sample{time.Now(), s.cpuTime()}
	s.mu.Lock()
	s.last = to
	s.mu.Unlock()
	pct := 100 * float64(to.used-from.used) / float64(to.at.Sub(from.at)) / cores
	return math.Round(100*min(max(pct, 0), 100)) / 100, nil
}

// cpuTime is the processor time used by everything in the sandbox.
func (s *Service) cpuTime() time.Duration {
	if used, ok := s.group.CPU(); ok {
		return used.User + used.System
	}
	return s.machineCPU()
}

// memory returns the limit, what is used without the page cache, and the cache.
func (s *Service) memory() (total, used, cache uint64) {
	m, ok := s.group.Memory()
	if !ok {
		total, available, cache := s.machineMemory()
		return total, total - min(total, available), cache
	}
	return m.Limit, m.Used - min(m.Used, m.File), m.File
}
