package httpserver

import (
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

// handshakes takes the complaints of the HTTP server. That a client does not trust
// our certificate is told in the log, since clients seldom say what to do about
// it: the Python SDK's uploads, say, end in "UnknownIssuer".
type handshakes struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	told time.Time
}

// distrust is an alert by which a client ends a handshake.
var distrust = regexp.MustCompile(`TLS handshake error from (\S+):\d+: remote error: tls: (unknown certificate authority|bad certificate|unknown certificate|certificate unknown)`)

// tellAgain is how often distrust is told at most.
const tellAgain = time.Minute

// Write implements io.Writer.
func (h *handshakes) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	found := distrust.FindStringSubmatch(text)
	h.mu.Lock()
	defer h.mu.Unlock()
	if found == nil || h.now().Sub(h.told) < tellAgain {
		h.log.Debug(text)
		return len(b), nil
	}
	h.told = h.now()
	h.log.Warn("a client does not trust this server's certificate: run daytona server trust on the client's machine if it is this one, and docs/builds.md, Uploads by TLS, says what else to do",
		"client", found[1], "alert", found[2])
	return len(b), nil
}
