package session

import (
	"bytes"
	"io"
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/logfile"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// sdkVersion is the header in which the official SDKs tell their version.
const sdkVersion = "X-Daytona-SDK-Version"

// firstPlain is the minor version of the first SDKs (0.167) that take stdout and
// stderr as the answer has them. Those before look for marks in output, and
// show nothing of what has none.
const firstPlain = 167

// wantsMarks tells whether the client takes the streams of an output apart
// itself.
func wantsMarks(r *http.Request) bool { return wire.SDKBefore(r, firstPlain) }

// prefix are the marks: each opens a run of the stream it names, in followed logs
// and in what old SDKs get.
var prefix = map[logfile.Stream][]byte{
	logfile.Stdout: {1, 1, 1},
	logfile.Stderr: {2, 2, 2},
}

// frame appends p as a run of s. Output may itself hold the bytes of the other
// prefix; those are lost on the reader, but what follows them must not change
// sides, so the run is opened again.
func frame(to []byte, s logfile.Stream, p []byte) []byte {
	to = append(to, prefix[s]...)
	other := prefix[logfile.Stdout]
	if s == logfile.Stdout {
		other = prefix[logfile.Stderr]
	}
	for {
		i := bytes.Index(p, other)
		if i < 0 {
			return append(to, p...)
		}
		to = append(append(to, p[:i+len(other)]...), prefix[s]...)
		p = p[i+len(other):]
	}
}

// writeMarked writes both streams of a log with marks. Its readers decode it as
// text before they look for marks, so none is put into a character.
func writeMarked(w io.Writer, log *logfile.Log) error {
	var message []byte
	begun := map[logfile.Stream][]byte{} // a character of which there is more to come
	err := log.Each(func(s logfile.Stream, p []byte) error {
		p = append(begun[s], p...)
		whole := len(p) - wire.Unfinished(p)
		begun[s] = bytes.Clone(p[whole:])
		if whole == 0 {
			return nil
		}
		message = frame(message[:0], s, p[:whole])
		_, err := w.Write(message)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range []logfile.Stream{logfile.Stdout, logfile.Stderr} {
		if len(begun[s]) == 0 {
			continue
		}
		if _, err := w.Write(frame(nil, s, begun[s])); err != nil {
			return err
		}
	}
	return nil
}

// marked reads what writeMarked writes, until it is closed.
func marked(log *logfile.Log) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeMarked(w, log)) }()
	return r
}
