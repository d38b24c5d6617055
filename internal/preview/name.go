package preview

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Domain is what the names of all previews are below: HOST or HOST:PORT. Without
// a port they have that of the server's own address.
type Domain string

// domainPattern is a host name of small letters with a port.
var domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*(:[0-9]{1,5})?$`)

// Valid reports whether it can be used. An address cannot: nothing is below it.
func (d Domain) Valid() bool {
	_, port := d.split()
	n, err := strconv.Atoi(port)
	return domainPattern.MatchString(string(d)) && net.ParseIP(d.Host()) == nil && (port == "" || err == nil && n > 0 && n < 1<<16)
}

// Host is the domain without the port.
func (d Domain) Host() string {
	host, _ := d.split()
	return host
}

func (d Domain) split() (host, port string) {
	host, port, _ = strings.Cut(string(d), ":")
	return host, port
}

// Label is what host, as a request names it, has before the domain; ok is false
// when host is not below it. A label need not be a Name's.
func (d Domain) Label(host string) (label string, ok bool) {
	port := ""
	if name, number, err := net.SplitHostPort(host); err == nil {
		host, port = name, number
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	label, ok = strings.CutSuffix(host, "."+d.Host())
	if strings.Trim(port, "0123456789") != "" {
		label = "" // below the domain, but no host at all
	}
	return label, ok
}

// URL is where a preview is for a client that reaches the server itself at
// origin.
func (d Domain) URL(origin string, n Name) string { return d.template(origin, n.String()) }

// Template is URL with placeholders, as clients of the API fill them in.
func (d Domain) Template(origin string) string { return d.template(origin, "{{PORT}}-{{sandboxId}}") }

// toolboxLabel is no Name's: it has no port.
const toolboxLabel = "toolbox"

// Toolbox is the origin, beside those of the previews, at which the toolboxes
// are for a client that reaches the server itself at origin.
func (d Domain) Toolbox(origin string) string { return d.template(origin, toolboxLabel) }

// IsToolbox reports whether a request's host is that of the toolboxes.
func (d Domain) IsToolbox(host string) bool {
	label, _ := d.Label(host)
	return label == toolboxLabel
}

func (d Domain) template(origin, label string) string {
	scheme, port := "http", ""
	if u, err := url.Parse(origin); err == nil {
		scheme, port = u.Scheme, u.Port()
	}
	host, own := d.split()
	if own != "" {
		port = own
	}
	if port != "" {
		port = ":" + port
	}
	return scheme + "://" + label + "." + host + port
}

// Name is the first label of a preview's host: a port, and a sandbox's id or the
// token of a signed URL.
type Name struct {
	Port    int
	Sandbox string // "" where there is a Token
	Token   string
}

// String is the label, which may have 63 characters (RFC 1035, section 2.3.4).
func (n Name) String() string { return strconv.Itoa(n.Port) + "-" + n.Sandbox + n.Token }

var tokenPattern = regexp.MustCompile(`^[a-z2-7]{26}$`)

// ParseName reads a label.
func ParseName(label string) (n Name, ok bool) {
	port, key, _ := strings.Cut(label, "-")
	if n.Port, ok = parsePort(port); !ok {
		return Name{}, false
	}
	// The canonical form alone: one preview has one name, and so one origin.
	if id, err := uuid.Parse(key); err == nil && id.String() == key {
		n.Sandbox = key
		return n, true
	}
	n.Token = key
	return n, tokenPattern.MatchString(key)
}

func parsePort(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= 65535 && strconv.Itoa(n) == text
}
