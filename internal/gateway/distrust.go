package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// errDistrusted is an answer that is not passed on, because of what it would
// make of the client or of proxies on the way.
var errDistrusted = errors.New("the answer is not passed on")

// distrusting is a transport to what runs in a sandbox, which may be anything
// and answer anything.
type distrusting struct {
	http.RoundTripper
	// confine returns of an answer what may reach the client. Errors:
	// errDistrusted for one that may not at all.
	confine func(*http.Response) (*http.Response, error)
}

// RoundTrip implements http.RoundTripper.
func (d distrusting) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := d.RoundTripper.RoundTrip(r.WithContext(untraced{r.Context()}))
	if err != nil {
		return nil, err
	}
	var confined *http.Response
	if err = onlyAsked(r, answer); err == nil {
		confined, err = d.confine(answer)
	}
	if err != nil {
		answer.Body.Close()
		return nil, err
	}
	return confined, nil
}

// onlyAsked refuses to switch protocols for a client that did not ask for it: it,
// or a proxy before us that shares the connection among clients, would send the
// next request, with its credentials, to the sandbox.
func onlyAsked(r *http.Request, answer *http.Response) error {
	asked, given := r.Header.Get("Upgrade"), answer.Header.Get("Upgrade")
	switch status := answer.StatusCode; {
	case status == http.StatusSwitchingProtocols && (asked == "" || !strings.EqualFold(asked, given)):
		return fmt.Errorf("%w: it switches to %q where %q was asked for", errDistrusted, given, asked)
	case status < 200 && status != http.StatusSwitchingProtocols, status > 599:
		return fmt.Errorf("%w: its status is %d", errDistrusted, status)
	}
	return nil
}

// untraced hides from a transport who wants to hear of interim answers (1xx):
// the reverse proxy passes them on with all their headers. That of 100
// (Continue) is the server's to send, when it reads the body.
type untraced struct{ context.Context }

// Value implements context.Context.
func (u untraced) Value(key any) any {
	v := u.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}
