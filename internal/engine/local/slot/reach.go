package slot

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// neverSix are IPv6 destinations that lead to this machine, its neighbours, or
// an IPv4 address in disguise (RFC 6052, RFC 3056, RFC 4380).
var neverSix = []netip.Prefix{
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// CheckReach fails for an address that the firewall keeps from every sandbox.
// It is for what the server itself fetches because somebody's code says so.
func (p *Pool) CheckReach(to netip.Addr) error {
	to = to.Unmap().WithZone("")
	holds := func(forbidden netip.Prefix) bool { return forbidden.Contains(to) }
	if holds(p.net.all) || slices.ContainsFunc(never, holds) || slices.ContainsFunc(neverSix, holds) {
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
