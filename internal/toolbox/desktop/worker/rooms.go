package worker

import (
	"context"
	"net/http"
	"os"

	"github.com/opendaytona/daytona/internal/toolbox/desktop/a11y"
	"github.com/opendaytona/daytona/internal/toolbox/desktop/x11"
)

// register adds the routes of all rooms. They find the display and the session
// bus in DISPLAY and DBUS_SESSION_BUS_ADDRESS. ctx ends with the worker; the
// returned function is called when no request is served any more.
func register(_ context.Context, mux *http.ServeMux, _ *Holds) (end func()) {
	display := x11.New(os.Getenv("DISPLAY"))
	display.Register(mux)
	tree := a11y.New(os.Getenv("DBUS_SESSION_BUS_ADDRESS"))
	tree.Register(mux)
	return func() {
		tree.Close()
		display.Close()
	}
}
