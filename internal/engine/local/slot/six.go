package slot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// DefaultSubnet6 is divided between the instances of a machine: unique local
// addresses (RFC 4193) that leave the machine by masquerading only.
var DefaultSubnet6 = netip.MustParsePrefix("fd5c:8a1e:94d7::/48")

const (
	linkBits6  = 127 // of a slot's link (RFC 6164): the guest can take no third address
	localBits6 = 64  // of the link-local addresses
	ownBits6   = 64
	allBits6   = ownBits6 - 4 // 16 instances
	minMTU6    = 1280         // without which the kernel has no IPv6 on a link (RFC 8200, section 5)

	genModeNone = 1 // IN6_ADDR_GEN_MODE_NONE in linux/if_link.h
)

// The link-local addresses of the two ends, the same on every link.
var (
	hostLocal  = netip.MustParseAddr("fe80::1")
	guestLocal = netip.MustParseAddr("fe80::2")
)

// ValidSubnet6 tells whether p can be a Config's Subnet6: unique local addresses
// for all instances.
func ValidSubnet6(p netip.Prefix) bool {
	return p.IsValid() && uniqueLocal.Contains(p.Addr()) && p.Bits() >= uniqueLocal.Bits() && p.Bits() <= allBits6
}

var uniqueLocal = netip.MustParsePrefix("fd00::/8")

// prepare6 chooses the instance's part of the IPv6 addresses. Only where a
// subnet was asked for it must be right; sandboxes do without IPv6 otherwise.
func (n *network) prepare6(c Config) error {
	n.all6 = DefaultSubnet6
	if c.Subnet6.IsValid() {
		n.all6 = c.Subnet6.Masked()
	}
	if !ValidSubnet6(n.all6) {
		return fmt.Errorf("subnet %s: it must be a prefix of unique local addresses of /%d or shorter", n.all6, allBits6)
	}
	b := n.all6.Addr().As16()
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])+uint64(n.instance))
	n.own6 = netip.PrefixFrom(netip.AddrFrom16(b), ownBits6)
	if c.NoIPv6 {
		return nil
	}
	err := free(n.all6)
	if n.mtu < minMTU6 {
		err = errors.Join(err, fmt.Errorf("the MTU of the uplink, %d, is below %d", n.mtu, minMTU6))
	}
	if err != nil && c.Subnet6.IsValid() {
		return err
	}
	if n.with6 = err == nil; err != nil {
		c.Log.Warn("sandboxes have no IPv6", "err", err)
	}
	return nil
}

func (n network) host6(index int) netip.Addr {
	b := n.own6.Addr().As16()
	binary.BigEndian.PutUint32(b[12:], uint32(2*(index+1))) // the first is the routers' of the /64
	return netip.AddrFrom16(b)
}

func (n network) guest6(index int) netip.Addr { return n.host6(index).Next() }

func (n network) guestOf(v *family, index int) netip.Addr {
	if v == six {
		return n.guest6(index)
	}
	return n.guest(index)
}

// owns are the instance's addresses that are masqueraded.
func (n network) owns() []netip.Prefix {
	if n.with6 {
		return []netip.Prefix{n.own, n.own6}
	}
	return []netip.Prefix{n.own}
}

// setLink6 prepares the host's end of a link, before it is up. The host learns
// nothing from a sandbox, whatever the firewall lets through.
func setLink6(name string, with6 bool) error {
	values := map[string]string{"disable_ipv6": "1"}
	if with6 {
		values = map[string]string{"disable_ipv6": "0", "addr_gen_mode": "1", "accept_ra": "0", "accept_redirects": "0"}
	}
	for key, value := range values {
		if err := SetSysctl(conf6+name+"/"+key, value); err != nil && (with6 || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	if !with6 {
		return nil
	}
	return forward6(name)
}
