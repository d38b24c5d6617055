package session

import (
	"bytes"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/logfile"
)

// FuzzFrame looks for output that crosses to the other stream of a client that
// takes them apart by their marks.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a\x02\x02\x02b"), []byte("\x01\x01\x01\x02\x02\x02"))
	f.Add([]byte("\x01\x01"), []byte("\x02\x02\x02\x02"))
	f.Fuzz(func(t *testing.T, out, errs []byte) {
		stream := frame(frame(nil, logfile.Stdout, out), logfile.Stderr, errs)
		gotOut, gotErr := taken(stream)
		// Marks in output are lost, and what is beside them may then look like
		// one; without bytes of marks it is the same.
		if !bytes.ContainsAny(append(bytes.Clone(out), errs...), "\x01\x02") && (!bytes.Equal(gotOut, out) || !bytes.Equal(gotErr, errs)) {
			t.Fatalf("%q and %q arrive as %q and %q", out, errs, gotOut, gotErr)
		}
	})
}

// taken is what a client makes of a stream: each mark begins a run.
func taken(stream []byte) (out, errs []byte) {
	to := &out
	for len(stream) > 0 {
		switch {
		case bytes.HasPrefix(stream, prefix[logfile.Stdout]):
			to, stream = &out, stream[3:]
		case bytes.HasPrefix(stream, prefix[logfile.Stderr]):
			to, stream = &errs, stream[3:]
		default:
			*to, stream = append(*to, stream[0]), stream[1:]
		}
	}
	return out, errs
}
