package local

import "testing"

// The clocks are the sandbox's, so that what counts from them agrees.
func TestProcessesStartAfterTheSandbox(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	f.has(s.ID, `now=$(date +%s); boot=$(awk '/^btime/ {print $2}' /proc/stat)
		own=$(awk '{print int($22/100)}' /proc/self/stat); echo $((now - boot - own < 5)) $((now - boot < 60)) $((own < 60))`, "1 1 1")
}
