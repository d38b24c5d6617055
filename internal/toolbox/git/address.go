package git

import (
	"net/url"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// address is where a repository is.
type address struct {
	url            string // for git, without the password
	user, password string // that were in the URL
	local          bool   // a path of the sandbox
}

// schemes are those whose servers can do no more than serve a repository. Other
// transports ("ext::") run whatever program their URL names.
var schemes = map[string]bool{"http": true, "https": true, "ssh": true, "git+ssh": true, "ssh+git": true, "git": true, "file": true}

var (
	helperTransport = lazy(`^[A-Za-z0-9+.-]+::`)
	portAndPath     = lazy(`^[0-9]+(/|$)`)
	controls        = lazy(`[\x00-\x1f\x7f]`)
)

// parseAddress understands what clients give as a URL. One without a scheme is
// that of an HTTPS server, but for paths and for ssh's user@host:path.
func parseAddress(text string) (address, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return address{}, wire.Bad("url is missing")
	case controls().MatchString(text):
		return address{}, wire.Bad("url contains a control character")
	case strings.HasPrefix(text, "-"):
		return address{}, wire.Bad("url must not begin with a dash")
	case helperTransport().MatchString(text):
		return address{}, wire.Bad("url names a transport that runs programs: use an https://, http://, ssh://, git:// or file:// URL, user@host:path or a path")
	}
	if !strings.Contains(text, "://") {
		if isPath(text) {
			return address{url: text, local: true}, nil
		}
		if isSSH(text) {
			return address{url: text}, nil
		}
		text = "https://" + text
	}
	scheme, rest, _ := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	if !schemes[scheme] {
		return address{}, wire.Bad("url has a scheme that is not supported: use https://, http://, ssh://, git:// or file://")
	}
	if scheme == "file" {
		return address{url: "file://" + rest, local: true}, nil
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	userinfo, host, has := cutLast(authority, "@")
	a := address{url: scheme + "://" + rest}
	web := scheme == "http" || scheme == "https"
	if host == "" || web && newOrigin(scheme, host) == (origin{}) {
		return address{}, wire.Bad("url has no valid host: write it as https://host/path")
	}
	if !has {
		return a, nil
	}
	user, password, hasPassword := strings.Cut(userinfo, ":")
	if !hasPassword {
		return a, nil
	}
	if !web {
		return address{}, wire.Bad("url has a password, which this scheme does not take: leave it out")
	}
	var err error
	if a.user, err = url.PathUnescape(user); err == nil {
		a.password, err = url.PathUnescape(password)
	}
	if err != nil {
		return address{}, wire.Bad("the user name or the password in the url is not encoded as URLs are: write a percent sign as %%25")
	}
	a.url = scheme + "://" + user + "@" + host + path
	if user == "" {
		a.url = scheme + "://" + host + path
	}
	return a, nil
}

func isPath(text string) bool {
	for _, start := range []string{"/", "./", "../", "~/"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return text == "." || text == ".." || text == "~"
}

// isSSH tells ssh's [user@]host:path from host:port/path and user:password@host.
func isSSH(text string) bool {
	before, after, ok := strings.Cut(text, ":")
	if !ok || strings.Contains(before, "/") {
		return false
	}
	first, _, _ := strings.Cut(after, "/")
	return strings.Contains(before, "@") || !portAndPath().MatchString(after) && !strings.Contains(first, "@")
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+len(sep):], true
}

var passwordInURL = lazy(`(://[^/?#\s:@]*):[^/?#\s]*@`)

// withoutPassword is a URL as it may be told.
func withoutPassword(text string) string { return passwordInURL().ReplaceAllString(text, "$1@") }
