package local

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestTheCheckTellsOfAMachineWhoseLimitOnOpenFilesIsLow(t *testing.T) {
	for files, want := range map[uint64]struct {
		ok   bool
		says string
	}{
		1 << 20: {true, "65536 for a process of a sandbox, which it may raise to 1048576"},
		1 << 16: {true, "65536 for a process of a sandbox, which it may raise to 65536"},
		4096:    {false, "may open 4096 files only, not 65536: raise the server's own limit (LimitNOFILE=1048576"},
	} {
		r := filesRequirement(files)
		if r.OK != want.ok || !r.Optional || !r.Urgent || !strings.Contains(r.Detail, want.says) {
			t.Errorf("%d: %+v", files, r)
		}
		if soft := (&Local{files: files}).openFiles(); soft != min(files, 65536) {
			t.Errorf("%d: a process may open %d", files, soft)
		}
	}
}

// Where the server may not set limits of processes in another user namespace,
// the agent sets them.
func TestTheAgentSetsTheSameLimitOnOpenFiles(t *testing.T) {
	f := open(t, nil)
	f.agentLimits = true
	f.has(f.create(nil).ID, "ulimit -n", strconv.FormatUint(min(65536, f.files), 10))
}

func TestOpenFilesEndWhereTheLimitOfTheProcessIs(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	b, err := os.ReadFile(fileMax)
	if err != nil {
		t.Fatal(err)
	}
	// All that its processes may have open together is less than the machine's.
	most := uint64(s.Resources.PIDs) * f.files
	if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err != nil || n <= most {
		t.Errorf("one sandbox may open %d of the machine's %s files", most, b)
	}
	f.has(s.ID, "ulimit -n; ulimit -Hn", strconv.FormatUint(min(65536, f.files), 10)+`\n`+strconv.FormatUint(f.files, 10))
	f.has(s.ID, `n=$(ulimit -n); i=3; while [ $i -lt $n ]; do eval "exec $i</dev/null"; i=$((i+1)); done; : </etc/layer`, "Too many open files")
	f.has(s.ID, "cat /etc/layer", "top")
}
