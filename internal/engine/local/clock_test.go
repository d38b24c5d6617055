package local

import (
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// The clocks are the sandbox's, so that what counts from them agrees.
func TestProcessesStartAfterTheSandbox(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	f.has(s.ID, `now=$(date +%s); boot=$(awk '/^btime/ {print $2}' /proc/stat)
		own=$(awk '{print int($22/100)}' /proc/self/stat); echo $((now - boot - own < 5)) $((now - boot < 60)) $((own < 60))`, "1 1 1")
}

// runc takes a process whose start time is 0 for one that it has not started, and
// fails one start in a hundred by it.
func TestNoProcessStartsInTheFirstTick(t *testing.T) {
	started := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends
		if err := ownClock(); err != nil {
			started <- err.Error()
			return
		}
		out, err := exec.Command("cat", "/proc/self/stat").Output()
		if err != nil {
			started <- err.Error()
			return
		}
		started <- string(out)
	}()
	stat := <-started
	_, after, _ := strings.Cut(stat, ") ") // field 3 and on (proc_pid_stat(5))
	fields := strings.Fields(after)
	if len(fields) < 20 {
		t.Fatal(stat)
	}
	if ticks, err := strconv.Atoi(fields[19]); err != nil || ticks < 100 || ticks > 1000 {
		t.Errorf("a process has started %d ticks after the clocks, %v; want a second or so", ticks, err)
	}
}
