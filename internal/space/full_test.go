package space

import (
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

type coded int

func (coded) Error() string { return "database" }
func (c coded) Code() int   { return int(c) }

func TestWhatIsFullIsKnown(t *testing.T) {
	for err, want := range map[error]bool{
		unix.ENOSPC: true, unix.EDQUOT: true, ErrLow: true, coded(13): true, coded(13 | 1<<8): true,
		coded(5): false, io.EOF: false, unix.EIO: false,
	} {
		if got := IsFull(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}
