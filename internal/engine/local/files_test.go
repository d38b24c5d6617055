package local

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

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
	f.has(s.ID, "ulimit -n; ulimit -Hn", strconv.FormatUint(f.files/16, 10)+`\n`+strconv.FormatUint(f.files, 10))
	f.has(s.ID, `n=$(ulimit -n); i=3; while [ $i -lt $n ]; do eval "exec $i</dev/null"; i=$((i+1)); done; : </etc/layer`, "Too many open files")
	f.has(s.ID, "cat /etc/layer", "top")
}
