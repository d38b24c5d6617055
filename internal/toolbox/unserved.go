package toolbox

import (
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// unserved are the parts of the published API that this agent does not have yet.
// Clients take 404 for a file or a session that is not there, so what is below
// these paths answers 501 with a sentence instead, WebSockets too.
var unserved = []struct {
	path string
	what string // completes "this toolbox has no"
}{
	{"/computeruse", "such part of the desktop yet"},
}

// refuseUnserved answers for them; done says that it has.
func refuseUnserved(w http.ResponseWriter, r *http.Request) (done bool) {
	for _, part := range unserved {
		if r.URL.Path == part.path || strings.HasPrefix(r.URL.Path, part.path+"/") {
			wire.Fail(w, r, wire.Errorf(http.StatusNotImplemented, wire.NotImplemented, "this toolbox has no %s (%s %s)", part.what, r.Method, r.URL.Path))
			return true
		}
	}
	return false
}
