package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"

	"github.com/opendaytona/daytona/internal/userid"
)

// What works in docker build and not in a user namespace.
var (
	errForeignID = fmt.Errorf("a step used a user or group that no sandbox has: %s", userid.Advice)
	errDevice    = errors.New("a step cannot make devices, since it is a sandbox: make them on the machine that needs them, or leave them out (tar --exclude dev)")
)

// clues are what programs say when they meet that, in the language that images
// have unless they set another.
var clues = []struct {
	text *regexp.Regexp
	err  error
}{
	{regexp.MustCompile(`(?i)(chown|chgrp|ownership|set(re|res)?[ug]id|setgroups|useradd|adduser).*: Invalid argument`), errForeignID},
	{regexp.MustCompile(`(?i)(mknod|creating device).*: Operation not permitted`), errDevice},
}

// witness reads along what a step says, and remembers the last clue.
type witness struct {
	mu  sync.Mutex
	err error
}

func (w *witness) clue() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// beside returns a writer to out that is read along.
func (w *witness) beside(out io.Writer) io.Writer { return &overheard{Writer: out, by: w} }

type overheard struct {
	io.Writer
	by   *witness
	line []byte
}

// maxClue is how much of a line is looked at.
const maxClue = 1024

// Write implements io.Writer.
func (o *overheard) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		o.line = append(o.line, part[:min(len(part), maxClue-len(o.line))]...)
		if ended {
			o.look()
		}
		rest = after
	}
	return o.Writer.Write(b)
}

func (o *overheard) look() {
	for _, c := range clues {
		if c.text.Match(o.line) {
			o.by.mu.Lock()
			o.by.err = c.err
			o.by.mu.Unlock()
		}
	}
	o.line = o.line[:0]
}
