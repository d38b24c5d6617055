package defaultimage

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opendaytona/daytona/internal/image"
)

// Debian is the image that is made here instead of being pulled from a hub. It
// is built when it is first asked for, and served to the image store, like any
// other image, by a registry on the loopback.
type Debian struct {
	BaseImage
	dir     string
	log     *slog.Logger
	turn    chan struct{} // holds one token: whose turn it is to build
	handler atomic.Pointer[http.Handler]

	listener net.Listener
	http     *http.Server
	served   chan error
}

// OpenDebian starts the registry; nothing is built yet.
func OpenDebian(image BaseImage, dir string, log *slog.Logger) (*Debian, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve the base image: %w", err)
	}
	b := &Debian{BaseImage: image, dir: dir, log: log, turn: make(chan struct{}, 1), listener: l, served: make(chan error, 1)}
	b.turn <- struct{}{}
	b.http = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() { b.served <- b.http.Serve(l) }()
	return b, nil
}

// Close ends the registry.
func (b *Debian) Close() error {
	err := b.http.Close()
	<-b.served
	return err
}

// host is the registry's name in references to the image.
func (b BaseImage) Host() string {
	host, _, _ := strings.Cut(b.Reference, "/")
	return host
}

// is reports whether a reference, with a tag or digest, is to this image.
func (b BaseImage) Is(ref string) bool { return strings.HasPrefix(ref, b.Host()+"/base") }

// mirror is where the image store finds the registry.
func (b *Debian) Mirror() image.Mirror {
	return image.Mirror{URL: "http://" + b.listener.Addr().String()}
}

// ServeHTTP implements http.Handler.
func (b *Debian) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := b.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	http.Error(w, "the base image is not built yet", http.StatusServiceUnavailable)
}

// ensure builds the image unless it is there. Of many callers one builds and
// the others wait. Errors: *buildError.
func (b *Debian) ensure(ctx context.Context, progress func(string)) error {
	if b.handler.Load() != nil {
		return nil
	}
	progress("Building the base image from Debian's packages")
	select {
	case <-b.turn:
		defer func() { b.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.handler.Load() != nil {
		return nil
	}
	began := time.Now()
	b.log.Info("building the base image from Debian's packages", "image", b.Reference)
	err := b.Build(ctx, b.dir, b.log, func(line string) {
		b.log.Info("base image", "step", line)
		progress(line)
	})
	var h http.Handler
	if err == nil {
		h, err = b.BaseImage.Handler(b.dir)
	}
	if err != nil {
		if ctx.Err() == nil {
			b.log.Error("the base image could not be built", "image", b.Reference, "err", err)
		}
		return &buildError{err}
	}
	b.handler.Store(&h)
	b.log.Info("the base image is built", "image", b.Reference, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// buildError is a failure of ensure.
type buildError struct{ error }

func (e *buildError) Unwrap() error { return e.error }

// Message is one sentence that a user can act on (snapshot.Images).
func (e *buildError) Message() string {
	return fmt.Sprintf("The base image could not be built from Debian's packages (%v): mend what is wrong and start the server again, or set default-image to an image that can be pulled.", e.error)
}
