package session

import (
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/logfile"
)

func TestFrameOpensTheRunAgainAfterAForeignMark(t *testing.T) {
	for _, c := range []struct {
		stream   logfile.Stream
		in, want string
	}{
		{logfile.Stdout, "abc", "\x01\x01\x01abc"},
		{logfile.Stderr, "abc", "\x02\x02\x02abc"},
		{logfile.Stdout, "a\x02\x02\x02b\x02\x02\x02", "\x01\x01\x01a\x02\x02\x02\x01\x01\x01b\x02\x02\x02\x01\x01\x01"},
		{logfile.Stderr, "a\x01\x01\x01b", "\x02\x02\x02a\x01\x01\x01\x02\x02\x02b"},
		{logfile.Stdout, "a\x01\x01\x01b", "\x01\x01\x01a\x01\x01\x01b"},
	} {
		if got := string(frame(nil, c.stream, []byte(c.in))); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
