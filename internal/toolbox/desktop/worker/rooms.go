package worker

import (
	"context"
	"net/http"
	"os"
	"path/filepath"

	"github.com/opendaytona/daytona/internal/toolbox/desktop/a11y"
	"github.com/opendaytona/daytona/internal/toolbox/desktop/recording"
	"github.com/opendaytona/daytona/internal/toolbox/desktop/x11"
)

// register adds the routes of all rooms. They find the display and the session
// bus in DISPLAY and DBUS_SESSION_BUS_ADDRESS. ctx ends with the worker; the
// returned function is called when no request is served any more.
func register(_ context.Context, mux *http.ServeMux, holds *Holds) (end func()) {
	display := x11.New(os.Getenv("DISPLAY"))
	display.Register(mux)
	tree := a11y.New(os.Getenv("DBUS_SESSION_BUS_ADDRESS"))
	tree.Register(mux)
	recordings := recording.New(os.Getenv("DISPLAY"), recordingsDir(), holds.Hold)
	recordings.Register(mux)
	return func() {
		recordings.Close()
		tree.Close()
		display.Close()
	}
}

// recordingsDir is where the sandbox's user has them.
func recordingsDir() string {
	dir := os.Getenv("DAYTONA_RECORDINGS_DIR")
	if dir == "" {
		dir = filepath.Join(".daytona", "recordings")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(os.Getenv("HOME"), dir)
	}
	return dir
}
