package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/userid"
)

// CreateParams is what somebody asks for. Nil fields take the defaults.
type CreateParams struct {
	Name             string                // "" is the id
	Snapshot         string                // name or id; "" is the default one
	Build            *snapshot.BuildParams // in place of a snapshot
	User             string
	Env              map[string]string
	Labels           map[string]string
	Public           bool
	NetworkBlockAll  bool
	NetworkAllowList string // CIDRs, separated by commas
	DomainAllowList  string // domains, separated by commas; "*.example.com" is all below it
	Region           string
	CPU              *int
	Memory           *int
	Disk             *int
	AutoStop         *int // minutes
	AutoArchive      *int
	AutoDelete       *int
	TTL              *int
}

var (
	namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`)
	userPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.\-]*\$?(:[a-zA-Z0-9_][a-zA-Z0-9_.\-]*\$?)?$`)
)

const (
	maxNameLength = 255
	maxLabels     = 64
	maxTextLength = 64 << 10 // of all labels, and of all variables together
)

func (p CreateParams) validate() error {
	switch {
	case p.Name != "" && !namePattern.MatchString(p.Name):
		return fault.Invalid("name", fmt.Sprintf("name %q is not valid: use letters, digits and _ . - and begin with a letter or digit.", p.Name))
	case len(p.Name) > maxNameLength:
		return fault.Invalid("name", fmt.Sprintf("name is too long: %d characters, at most %d.", len(p.Name), maxNameLength))
	case p.User != "" && !userPattern.MatchString(p.User):
		return fault.Invalid("user", fmt.Sprintf("user %q is not a user name or id.", p.User))
	case foreignUser(p.User):
		return fault.Invalid("user", fmt.Sprintf("user %q cannot run in a sandbox: %s.", p.User, userid.Advice))
	case p.Build != nil && p.Snapshot != "":
		return fault.Invalid("buildInfo", "Give snapshot or buildInfo, not both.")
	case p.Build == nil && (p.CPU != nil || p.Memory != nil || p.Disk != nil):
		return fault.Invalid("", "cpu, memory and disk come from the snapshot: create a snapshot with the resources you need and name it here.")
	}
	for _, r := range p.asked() {
		if err := r.validate(); err != nil {
			return err
		}
	}
	if err := validateLabels(p.Labels); err != nil {
		return err
	}
	total := 0
	for k, v := range p.Env {
		total += len(k) + len(v)
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			return fault.Invalid("env", fmt.Sprintf("env has a variable %q that is not valid: names must not be empty or contain =, and nothing may contain NUL bytes.", k))
		}
	}
	if total > maxTextLength {
		return fault.Invalid("env", fmt.Sprintf("env is too large: %d bytes, at most %d.", total, maxTextLength))
	}
	for _, f := range []struct {
		name  string
		value *int
	}{{"autoStopInterval", p.AutoStop}, {"autoArchiveInterval", p.AutoArchive}, {"ttlMinutes", p.TTL}} {
		if f.value != nil {
			if _, err := minutes(f.name, *f.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// foreignUser reports whether a user or group is given by a number that sandboxes
// do not have.
func foreignUser(user string) bool {
	for id := range strings.SplitSeq(user, ":") {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && !userid.Inside(uint32(n)) || errors.Is(err, strconv.ErrRange) {
			return true
		}
	}
	return false
}

func validateLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return fault.Invalid("labels", fmt.Sprintf("too many labels: %d, at most %d.", len(labels), maxLabels))
	}
	total := 0
	for k, v := range labels {
		total += len(k) + len(v)
		if k == "" {
			return fault.Invalid("labels", "a label's name must not be empty.")
		}
	}
	if total > maxTextLength {
		return fault.Invalid("labels", fmt.Sprintf("labels are too large: %d bytes, at most %d.", total, maxTextLength))
	}
	return nil
}

// maxMinutes keeps an interval within what a time.Duration and people can hold.
const maxMinutes = 10 * 365 * 24 * 60

// minutes turns an interval of the API into a duration.
func minutes(field string, n int) (time.Duration, error) {
	if n < 0 || n > maxMinutes {
		return 0, fault.Invalid(field, fmt.Sprintf("%s must be a number of minutes from 0 to %d, not %d.", field, maxMinutes, n))
	}
	return time.Duration(n) * time.Minute, nil
}

// archiveAfter is the same for auto-archive, where 0 is the longest there is.
func archiveAfter(n int) (time.Duration, error) {
	d, err := minutes("autoArchiveInterval", n)
	if err != nil {
		return 0, err
	}
	if d == 0 || d > MaxAutoArchive {
		d = MaxAutoArchive
	}
	return d, nil
}

// deleteAfter is the same for auto-delete, where a negative number is never.
func deleteAfter(n int) (time.Duration, error) {
	if n < 0 {
		return NeverDelete, nil
	}
	return minutes("autoDeleteInterval", n)
}

// The most of an allow list: networks, as the hosted service has it, and
// domains.
const (
	maxAllowed = 10
	maxDomains = 100
)

func parseAllowList(list string) ([]netip.Prefix, error) {
	all, err := items("networkAllowList", list)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, item := range all {
		prefix, err := netip.ParsePrefix(item)
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fault.Invalid("networkAllowList", fmt.Sprintf("networkAllowList: %q is not a network such as 192.0.2.0/24 or 2001:db8::/32.", item))
		}
		out = append(out, prefix.Masked())
	}
	if len(out) > maxAllowed {
		return nil, fault.Invalid("networkAllowList", fmt.Sprintf("networkAllowList has %d networks, at most %d are allowed.", len(out), maxAllowed))
	}
	return out, nil
}

// domainPattern is a host name (RFC 1123), perhaps with * as its first label.
var domainPattern = regexp.MustCompile(`^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

func parseDomains(list string) ([]string, error) {
	all, err := items("domainAllowList", list)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, item := range all {
		domain := strings.TrimSuffix(strings.ToLower(item), ".")
		if addr, err := netip.ParseAddr(domain); err == nil {
			return nil, fault.Invalid("domainAllowList", fmt.Sprintf("domainAllowList: %q is an address: put %s/%d into networkAllowList.", item, domain, addr.BitLen()))
		}
		if !domainPattern.MatchString(domain) || len(domain) > 253 {
			return nil, fault.Invalid("domainAllowList", fmt.Sprintf("domainAllowList: %q is not a domain such as example.com, or *.example.com for all below it.", item))
		}
		if !slices.Contains(out, domain) {
			out = append(out, domain)
		}
	}
	if len(out) > maxDomains {
		return nil, fault.Invalid("domainAllowList", fmt.Sprintf("domainAllowList has %d domains, at most %d are allowed.", len(out), maxDomains))
	}
	return out, nil
}

// items are what a list has between its commas. One of commas alone is refused:
// as an empty list it would let everything pass, which is not what somebody
// writes who lists what may.
func items(field, list string) (out []string, err error) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	if len(out) == 0 && strings.Contains(list, ",") {
		return nil, fault.Invalid(field, fmt.Sprintf("%s %q has commas and nothing between them: leave it out to reach everything, or set networkBlockAll.", field, list))
	}
	return out, nil
}

type askedResource struct {
	field string
	value *int
}

func (r askedResource) validate() error {
	if r.value != nil && *r.value < 1 {
		return fault.Invalid(r.field, fmt.Sprintf("%s must be an integer of at least 1, not %d.", r.field, *r.value))
	}
	return nil
}

func (p CreateParams) asked() []askedResource {
	return []askedResource{{"cpu", p.CPU}, {"memory", p.Memory}, {"disk", p.Disk}}
}

// resources are what was asked for, and of r what was not.
func (p CreateParams) resources(r Resources) Resources {
	for i, to := range []*int{&r.CPU, &r.Memory, &r.Disk} {
		if v := p.asked()[i].value; v != nil {
			*to = *v
		}
	}
	return r
}
