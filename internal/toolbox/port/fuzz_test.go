package port

import (
	"bufio"
	"strings"
	"testing"
)

// FuzzTable looks for a table of the kernel's that is read as ports which are none.
func FuzzTable(f *testing.F) {
	f.Add("  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n")
	f.Add("a :FFFFF b 0A")
	f.Fuzz(func(t *testing.T, table string) {
		for _, p := range parse(bufio.NewScanner(strings.NewReader(table))) {
			if p < 0 || p > 65535 {
				t.Fatalf("port %d", p)
			}
		}
	})
}
