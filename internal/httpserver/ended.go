package httpserver

import (
	"context"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// endedAnswerTime is for a client to take what is left of the answer to a request
// that was ended with its key. One that does not read would else hold it for ever.
const endedAnswerTime = 5 * time.Second

// EndAnswer bounds the answer to a request that is ended with its key. over is for
// the end of the handler.
func EndAnswer(w http.ResponseWriter, r *http.Request) (over func()) {
	control := http.NewResponseController(w)
	bounded := make(chan struct{})
	stop := context.AfterFunc(r.Context(), func() {
		defer close(bounded)
		if fault.Ended(r.Context()) != nil {
			_ = control.SetWriteDeadline(time.Now().Add(endedAnswerTime)) // a test's writer has none
		}
	})
	return func() {
		if stop() {
			return
		}
		<-bounded
		_ = control.SetWriteDeadline(time.Time{}) // it is not the connection's next request's
	}
}
