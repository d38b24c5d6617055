package daytona

import (
	"bytes"
	"testing"
)

func TestFollowedLogsAreTakenApartWhereverTheyAreCut(t *testing.T) {
	const stream = "early\x01\x01\x01out\x01\x02\x02\x02err\x01\x01\x02\x01\x01\x01more\x02\x02\x01"
	const stdout, stderr = "earlyout\x01more\x02\x02\x01", "err\x01\x01\x02"
	for size := 1; size <= len(stream); size++ {
		var out, errs bytes.Buffer
		s := splitter{stdout: &out, stderr: &errs}
		for rest := []byte(stream); len(rest) > 0; {
			n := min(size, len(rest))
			if err := s.write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		if out.String() != stdout || errs.String() != stderr {
			t.Errorf("in pieces of %d: stdout %q, stderr %q", size, out.String(), errs.String())
		}
	}
}
