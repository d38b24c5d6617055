package metrics

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where the control group is not visible, as when the agent runs outside a
// sandbox, /proc tells of the machine.

func (s *Service) read(path string) string {
	b, err := os.ReadFile(filepath.Join(s.root, path))
	if err != nil {
		return ""
	}
	return string(b)
}

// machineCPU is proc_stat(5): cpu user nice system idle iowait irq softirq
// steal, in ticks of 1/100 s.
func (s *Service) machineCPU() time.Duration {
	first, _, _ := strings.Cut(s.read("proc/stat"), "\n")
	var ticks int64
	for i, f := range strings.Fields(first) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// machineMemory is proc_meminfo(5), in bytes.
func (s *Service) machineMemory() (total, available, cache uint64) {
	amounts := map[string]uint64{}
	for line := range strings.Lines(s.read("proc/meminfo")) {
		if f := strings.Fields(line); len(f) > 1 {
			kB, _ := strconv.ParseUint(f[1], 10, 64)
			amounts[f[0]] = kB << 10
		}
	}
	return amounts["MemTotal:"], amounts["MemAvailable:"], amounts["Cached:"]
}
