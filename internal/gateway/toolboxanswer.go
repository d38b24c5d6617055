package gateway

import (
	"fmt"
	"net/http"
)

// maxToolboxHeaders bounds the headers of an agent's answer, in bytes.
const maxToolboxHeaders = 64 << 10

// toolboxHeaders are those that agents send and clients need. Any other could
// have power: over a browser, which takes the answer for the API's, or over a
// client that holds the user's key.
var toolboxHeaders = []string{
	"Accept-Ranges", "Allow", "Content-Disposition", "Content-Length", "Content-Range", "Content-Type", "Last-Modified",
}

// upgradeHeaders are those of a switch of protocols.
var upgradeHeaders = []string{
	"Connection", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol",
}

// confineToolbox makes of what answers as a sandbox's agent, and may be any
// program of a hostile root there, an answer that is data to the client and
// nothing else.
func confineToolbox(answer *http.Response) (*http.Response, error) {
	status := answer.StatusCode
	notModified := status == http.StatusNotModified && conditional(answer.Request)
	if status >= 300 && status < 400 && !notModified {
		// A client would follow it with the user's key, to wherever it says.
		return nil, fmt.Errorf("%w: it redirects (%d) to %.200q", errDistrusted, status, answer.Header.Get("Location"))
	}
	names := toolboxHeaders
	if status == http.StatusSwitchingProtocols {
		names = upgradeHeaders
	}
	confined := *answer
	confined.Header = http.Header{
		// Where a browser shows it all the same, it is a page without scripts,
		// forms and origin.
		"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'; sandbox"},
		"X-Content-Type-Options":  {"nosniff"},
	}
	for _, name := range names {
		if values := answer.Header[name]; len(values) > 0 {
			confined.Header[name] = values[:1]
		}
	}
	// What comes after the body is added to the original, where nobody looks.
	confined.Trailer = nil
	return &confined, nil
}

// conditional reports whether 304 (Not Modified) may answer a request.
func conditional(r *http.Request) bool {
	return r.Header.Get("If-Modified-Since") != "" || r.Header.Get("If-None-Match") != ""
}
