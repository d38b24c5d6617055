package httpapi

import (
	"io"
	"net/http"
)

// flushing sends each write to the client at once.
type flushing struct{ io.Writer }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	f.flush()
	return n, err
}

func (f flushing) flush() {
	if w, ok := f.Writer.(http.Flusher); ok {
		w.Flush()
	}
}
