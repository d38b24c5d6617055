package daytona

import (
	"bytes"
	"testing"
)

// FuzzSplitter looks for followed logs that are taken apart otherwise when they
// arrive in other pieces.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("early\x01\x01\x01out\x02\x02\x02err\x01\x01\x02"), uint8(2))
	f.Add([]byte("\x01\x01\x02\x02\x02\x02\x01"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		read := func(size int) (string, string) {
			var out, errs bytes.Buffer
			s := splitter{stdout: &out, stderr: &errs}
			for rest := stream; len(rest) > 0; {
				n := min(max(size, 1), len(rest))
				if err := s.write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			return out.String(), errs.String()
		}
		out, errs := read(len(stream))
		if o, e := read(int(size)); o != out || e != errs {
			t.Fatalf("%q whole: %q, %q; in pieces of %d: %q, %q", stream, out, errs, size, o, e)
		}
	})
}
