package slot

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// special are destinations outside of the subnets that no sandbox reaches. The
// machine's own addresses are the firewall's matter.
var special = []netip.Prefix{
	// What RFC 6890 calls "this host", loopback, link-local (metadata services
	// live there), multicast and reserved.
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	// IPv4 addresses in disguise, any of which may be one of the above: mapped
	// (RFC 4291), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380).
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/32"),
	// Metadata services among private addresses: Alibaba's; Amazon's and its
	// agent of pods' credentials, Google's, Oracle's, Scaleway's, Akamai's.
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("fd00:ec2::254/128"),
	netip.MustParsePrefix("fd00:ec2::23/128"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"),
	netip.MustParsePrefix("fd00:42::42/128"),
	netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"),
}

// never are all that no sandbox reaches.
func (n network) never() []netip.Prefix {
	return append([]netip.Prefix{n.all, n.all6}, special...)
}

// Reach tells which addresses no sandbox reaches. It is for what the server itself
// fetches because somebody's code says so.
type Reach struct{ never []netip.Prefix }

// NewReach is for sandboxes in these subnets; the zero value is the default one.
func NewReach(subnet, subnet6 netip.Prefix) Reach {
	n := network{all: DefaultSubnet, all6: DefaultSubnet6}
	if subnet.IsValid() {
		n.all = subnet.Masked()
	}
	if subnet6.IsValid() {
		n.all6 = subnet6.Masked()
	}
	return Reach{n.never()}
}

// CheckReach fails for an address that the firewall keeps from every sandbox.
func (p *Pool) CheckReach(to netip.Addr) error { return Reach{p.net.never()}.Check(to) }

// Check fails for an address that no sandbox reaches.
func (r Reach) Check(to netip.Addr) error {
	to = to.Unmap().WithZone("")
	if slices.ContainsFunc(r.never, func(forbidden netip.Prefix) bool { return forbidden.Contains(to) }) {
		return fmt.Errorf("%s cannot be reached from here", to)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list this machine's addresses: %w", err)
	}
	for _, a := range own {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == to {
			return fmt.Errorf("%s cannot be reached from here", to)
		}
	}
	return nil
}
