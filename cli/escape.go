package cli

import (
	"errors"
	"io"
)

// errLeave is that the user has typed ~. at the beginning of a line.
var errLeave = errors.New("left")

// escape is what a user types, without the commands of this client in it: those of
// ssh.
type escape struct {
	in    io.Reader
	fresh bool // a line begins
	tilde bool // a ~ that began a line is held back
}

// Read implements io.Reader.
func (e *escape) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	// A ~ that was held back may come in addition to what is read.
	buf := make([]byte, len(p)-1)
	for {
		n, err := e.in.Read(buf)
		out := p[:0]
		for _, c := range buf[:n] {
			if e.tilde {
				e.tilde = false
				switch c {
				case '.':
					return len(out), errLeave
				case '~':
				default:
					out = append(out, '~')
				}
			} else if c == '~' && e.fresh {
				e.tilde = true
				continue
			}
			out = append(out, c)
			e.fresh = c == '\r' || c == '\n'
		}
		if err != nil && e.tilde {
			e.tilde = false
			out = append(out, '~')
		}
		if len(out) > 0 || err != nil {
			return len(out), err
		}
	}
}
