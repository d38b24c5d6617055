// Package upgrade turns requests into WebSockets in the way that the official
// SDKs and browsers expect. It imports the WebSocket library, the standard library
// and package wire.
package upgrade

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Subprotocols that clients offer. Those with a tilde go on with a value: they
// stand for headers, which browsers do not let pages set.
const (
	ExitControl = "X-Daytona-Pty-Exit-Control"
	Variables   = "X-Daytona-Pty-Envs~"
	sdkVersion  = "X-Daytona-SDK-Version~"
)

// WebSocket accepts r, or answers it with an error, which it returns too. A client
// that offers subprotocols is told one of them, or it would break off.
func WebSocket(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	answer := &refusal{ResponseWriter: w}
	conn, err := websocket.Accept(answer, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the gateway decides who may come from where
		Subprotocols:       selected(Offered(r)),
	})
	if err != nil {
		answer.send(r)
	}
	return conn, err
}

// Asked reports whether r asks for a WebSocket.
func Asked(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// Offered are the subprotocols that the client offers, in its order.
func Offered(r *http.Request) []string {
	var all []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// selected is the one to tell, if any. Variables hold secrets, which an answer
// should not: they are told when there is nothing else to tell.
func selected(offered []string) []string {
	rank := func(one string) int {
		switch {
		case has(one, sdkVersion):
			return 0
		case strings.EqualFold(one, ExitControl):
			return 1
		case has(one, Variables):
			return 3
		}
		return 2
	}
	var best []string
	for _, one := range offered {
		if best == nil || rank(one) < rank(best[0]) {
			best = []string{one}
		}
	}
	return best
}

func has(text, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix)
}

// refusal keeps the library's own words for an error, to send them in an envelope.
type refusal struct {
	http.ResponseWriter
	status int
	words  bytes.Buffer
}

// Unwrap is for http.ResponseController and the library.
func (f *refusal) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (f *refusal) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		f.ResponseWriter.WriteHeader(status)
		return
	}
	f.status = status
}

// Write implements http.ResponseWriter.
func (f *refusal) Write(p []byte) (int, error) { return f.words.Write(p) }

func (f *refusal) send(r *http.Request) {
	if f.status == 0 {
		return // the connection was lost after the answer
	}
	if f.status == http.StatusUpgradeRequired {
		f.status = http.StatusBadRequest // what the published API says
	}
	wire.Fail(f.ResponseWriter, r, wire.Errorf(f.status, wire.BadRequest, "open this route as a WebSocket: %s", bytes.TrimSpace(f.words.Bytes())))
}

// KeepAlive keeps proxies from closing a connection on which nothing is said,
// until ctx ends.
func KeepAlive(ctx context.Context, conn *websocket.Conn) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if conn.Ping(ctx) != nil {
				return
			}
		}
	}
}
