package git

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// secret is the user name and the password of one call, for one server. Git gets
// them when it asks, from the agent itself, over a socket that it inherits: they
// are in no argument, no variable, no file, and not with another server to which
// the first one sends git. Docs: decision 023.
type secret struct {
	user, password string
	server         origin
}

// helper is git's credential helper for the call: it hands git's question to the
// agent and the answer to git, by what every shell has built in.
const helper = `!f() { [ "$1" = get ] || return 0; ` +
	`while IFS= read -r line; do printf '%s\n' "$line"; done >&3; echo >&3; ` +
	`while IFS= read -r line && [ -n "$line" ]; do printf '%s\n' "$line"; done <&3; }; f`

// newSecret makes the secret of a request, nil when it has none: a name without
// a password, or the other way round, is none. remote is the URL that git uses.
func newSecret(user, password, remote string) (*secret, error) {
	if user == "" || password == "" {
		return nil, nil
	}
	if strings.ContainsAny(user+password, "\r\n\x00") {
		return nil, wire.Bad("username and password must not contain a line break or a NUL byte")
	}
	server := serverOf(remote)
	if server == (origin{}) {
		return nil, wire.Bad("username and password are for repositories at http:// and https://: leave them out for this one, or use its https:// URL")
	}
	return &secret{user: user, password: password, server: server}, nil
}

// options end all other ways to a password for this call: a helper that the user
// has configured would store this one.
func (s *secret) options() []string {
	own := "credential." + s.server.String() + ".helper="
	return []string{
		"-c", "core.askPass=",
		"-c", "credential.useHttpPath=false",
		"-c", "credential.helper=",
		"-c", own,
		"-c", own + helper,
	}
}

// lfs keeps Git LFS, another program, which asks for a password by itself, from
// failing without the one of the call: its files stay pointers.
func lfs(s *secret) map[string]string {
	if s == nil {
		return nil
	}
	return map[string]string{"GIT_LFS_SKIP_SMUDGE": "1"}
}

// answer makes the socket: answering until it is closed, and the end for git.
func (s *secret) answer() (answering io.Closer, end int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("make a socket for git's questions: %w", err)
	}
	file := os.NewFile(uintptr(pair[0]), "credentials")
	defer file.Close() // the connection has its own
	conn, err := net.FileConn(file)
	if err != nil {
		unix.Close(pair[1])
		return nil, -1, fmt.Errorf("make a socket for git's questions: %w", err)
	}
	go s.serve(conn)
	return conn, pair[1], nil
}

// serve answers questions of gitcredentials(7): lines of name=value, and an empty
// one at the end.
func (s *secret) serve(conn io.ReadWriter) {
	lines := bufio.NewScanner(conn)
	var protocol, host string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch name {
		case "protocol":
			protocol = value
		case "host":
			host = value
		case "":
			reply := "\n"
			if s.server.covers(newOrigin(protocol, host)) {
				reply = fmt.Sprintf("username=%s\npassword=%s\n\n", s.user, s.password)
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
			protocol, host = "", ""
		}
	}
}

// mask replaces the password, then the user name, in what is told.
func (s *secret) mask(text string) string {
	for _, form := range []string{s.password, url.QueryEscape(s.password), url.PathEscape(s.password)} {
		text = strings.ReplaceAll(text, form, "***")
	}
	return wholeWord(s.user).ReplaceAllLiteralString(text, "***")
}

// wholeWord finds text where it is not part of a longer word: a user may be
// called "git" or "a".
func wholeWord(text string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(text)
	if wordStart().MatchString(text) {
		pattern = `\b` + pattern
	}
	if wordEnd().MatchString(text) {
		pattern += `\b`
	}
	return regexp.MustCompile(pattern)
}

var wordStart, wordEnd = lazy(`^\w`), lazy(`\w$`)

// origin is a server of HTTP, its port always told.
type origin struct{ protocol, host string }

// newOrigin is the zero origin for what is not HTTP.
func newOrigin(protocol, host string) origin {
	port := map[string]string{"http": "80", "https": "443"}[strings.ToLower(protocol)]
	u, err := url.Parse(protocol + "://" + host)
	if port == "" || err != nil || u.Host != host || u.Hostname() == "" {
		return origin{}
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return origin{strings.ToLower(protocol), net.JoinHostPort(strings.ToLower(u.Hostname()), port)}
}

// serverOf is the zero origin for a URL of something else than HTTP.
func serverOf(text string) origin {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return origin{}
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	_, host, _ := cutLast(authority, "@")
	return newOrigin(scheme, host)
}

// covers tells whether a password for o may go to where o has led: o itself, or
// the same host over TLS.
func (o origin) covers(other origin) bool {
	if other == o {
		return true
	}
	host, ok := strings.CutSuffix(o.host, ":80")
	return ok && o.protocol == "http" && other == origin{"https", host + ":443"}
}

// String is its URL.
func (o origin) String() string { return o.protocol + "://" + o.host }
