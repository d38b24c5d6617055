package slot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network is an instance's part of the subnet: four addresses a slot. Of IPv6
// each slot has two, when its link is made while the machine has IPv6 too.
type network struct {
	instance int
	all      netip.Prefix // of every instance
	own      netip.Prefix
	all6     netip.Prefix
	own6     netip.Prefix
	with6    bool // IPv6 is wanted and possible
	mtu      int

	bandwidth int64 // as Config has it
}

const (
	linkBits  = 30                    // of a slot's prefix
	ownBits   = linkBits - 10         // 1024 slots
	allBits   = ownBits - 4           // 16 instances
	perSlot   = 1 << (32 - linkBits)  // addresses
	guestLink = "eth0"                // the name inside
	forward   = "net/ipv4/ip_forward" // below /proc/sys
	fallback  = 1500                  // the MTU of a machine without a default route
	idsOfOne  = Slots * IDs           // of one instance
)

func newNetwork(c Config) (network, error) {
	n := network{instance: c.Instance, all: c.Subnet.Masked(), mtu: uplinkMTU(), bandwidth: c.Bandwidth}
	if !n.all.Addr().Is4() || n.all.Bits() > allBits {
		return n, fmt.Errorf("subnet %s: it must be an IPv4 prefix of /%d or shorter", c.Subnet, allBits)
	}
	if err := free(n.all); err != nil {
		return n, err
	}
	n.own = netip.PrefixFrom(after(n.all.Addr(), uint32(c.Instance)<<(32-ownBits)), ownBits)
	if err := n.prepare6(c); err != nil {
		return n, err
	}
	if c.Trial {
		return n, canSet(forward)
	}
	return n, SetSysctl(forward, "1")
}

// free fails when the machine's network already uses the subnet.
func free(subnet netip.Prefix) error {
	family := netlink.FAMILY_V4
	if subnet.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.Type != unix.RTN_UNICAST {
			continue
		}
		addr, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		dst := netip.PrefixFrom(addr.Unmap(), ones)
		if ones == 0 || !dst.Overlaps(subnet) {
			continue
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		var gone netlink.LinkNotFoundError
		if errors.As(err, &gone) {
			continue // and its route with it, since they were listed
		}
		if err == nil && strings.HasPrefix(link.Attrs().Name, "dt") {
			continue // a sandbox's, of this or another instance
		}
		return fmt.Errorf("subnet %s: this machine's network uses %s; choose another one in the configuration", subnet, dst)
	}
	return nil
}

func after(a netip.Addr, offset uint32) netip.Addr {
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += offset
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func (n network) host(index int) netip.Addr {
	return after(n.own.Addr(), uint32(index*perSlot+1))
}

func (n network) guest(index int) netip.Addr {
	return after(n.own.Addr(), uint32(index*perSlot+2))
}

func (n network) slot(index int, six bool) *Slot {
	s := &Slot{
		Index: index, HostID: HostID(n.instance, index),
		Host: n.host(index), Guest: n.guest(index),
	}
	if six && n.with6 {
		s.Host6, s.Guest6 = n.host6(index), n.guest6(index)
	}
	return s
}

// HostID is the first user and group id of a slot on the host.
func HostID(instance, index int) int { return firstID + instance*idsOfOne + index*IDs }

func (n network) linkName(index int) string { return Prefix(n.instance) + strconv.Itoa(index) }

// addLink makes the pair of links between the host and the slot.
func (n network) addLink(s *Slot) error {
	name := n.linkName(s.Index)
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU = name, n.mtu
	veth.PeerName, veth.PeerMTU, veth.PeerNamespace = guestLink, uint32(n.mtu), netlink.NsFd(s.Net.Fd())
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add link %s: %w", name, err)
	}
	// No packet with another source than the slot's.
	if err := SetSysctl("net/ipv4/conf/"+name+"/rp_filter", "1"); err != nil {
		return err
	}
	if err := setLink6(name, s.Guest6.IsValid()); err != nil {
		return err
	}
	if err := up(netlinkHandle{}, veth, s.hostEnd()); err != nil {
		return fmt.Errorf("set up link %s: %w", name, err)
	}
	inside, err := netlink.NewHandleAt(netns.NsHandle(s.Net.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer inside.Close()
	if err := n.setUpGuest(inside, s); err != nil {
		return fmt.Errorf("set up %s inside: %w", guestLink, err)
	}
	return nil
}

func (n network) setUpGuest(inside *netlink.Handle, s *Slot) error {
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return err
	}
	eth, err := inside.LinkByName(guestLink)
	if err != nil {
		return err
	}
	if s.Guest6.IsValid() {
		// It has a link-local address that the firewall knows, and no other.
		if err := inside.LinkSetIP6AddrGenMode(eth, genModeNone); err != nil {
			return fmt.Errorf("make no link-local address: %w", err)
		}
	}
	if err := up(inside, eth, s.guestEnd()); err != nil {
		return err
	}
	for _, gateway := range []netip.Addr{s.Host, s.Host6} {
		if !gateway.IsValid() {
			continue
		}
		if err := inside.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: net.IP(gateway.AsSlice())}); err != nil {
			return fmt.Errorf("add default route by %s: %w", gateway, err)
		}
	}
	return nil
}

// links is the part of a netlink handle that up needs.
type links interface {
	AddrAdd(link netlink.Link, addr *netlink.Addr) error
	LinkSetUp(link netlink.Link) error
}

// netlinkHandle is the handle of this process's own namespace.
type netlinkHandle struct{}

func (netlinkHandle) AddrAdd(l netlink.Link, a *netlink.Addr) error { return netlink.AddrAdd(l, a) }
func (netlinkHandle) LinkSetUp(l netlink.Link) error                { return netlink.LinkSetUp(l) }

// hostEnd and guestEnd are the addresses of the two ends of the slot's link.
func (s *Slot) hostEnd() []netip.Prefix  { return ends(s.Host, s.Host6, hostLocal) }
func (s *Slot) guestEnd() []netip.Prefix { return ends(s.Guest, s.Guest6, guestLocal) }

func ends(addr, addr6, local netip.Addr) []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(addr, linkBits)}
	if addr6.IsValid() {
		all = append(all, netip.PrefixFrom(addr6, linkBits6), netip.PrefixFrom(local, localBits6))
	}
	return all
}

func up(h links, link netlink.Link, addrs []netip.Prefix) error {
	for _, p := range addrs {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD // it need not wait to be known as unique: nobody else is on the link
		}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", p, err)
		}
	}
	return h.LinkSetUp(link)
}

// removeLink removes the pair; a missing one is fine. Its end would come with
// the namespace's, but later: the address must be free when the slot is.
func (n network) removeLink(index int) error {
	link, err := netlink.LinkByName(n.linkName(index))
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// sweep removes links that nobody keeps, and returns those that stay.
func (n network) sweep(keep func(index int) bool) (stuck map[int]error, err error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	stuck = map[int]error{}
	for _, link := range all {
		number, ours := strings.CutPrefix(link.Attrs().Name, Prefix(n.instance))
		index, err := strconv.Atoi(number)
		if !ours || err != nil || index < 0 || index >= Slots || keep(index) {
			continue
		}
		if err := n.removeLink(index); err != nil {
			stuck[index] = fmt.Errorf("remove link %s: %w", link.Attrs().Name, err)
		}
	}
	return stuck, nil
}

// Busy tells whether an instance has links on this machine.
func Busy(instance int) bool {
	all, err := netlink.LinkList()
	if err != nil {
		return true // it can't be known
	}
	for _, link := range all {
		if strings.HasPrefix(link.Attrs().Name, Prefix(instance)) {
			return true
		}
	}
	return false
}

// uplinkMTU is the MTU of the default route's link.
func uplinkMTU() int {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return fallback
	}
	for _, r := range routes {
		if r.MTU > 0 {
			return r.MTU
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			return link.Attrs().MTU
		}
	}
	return fallback
}

// Sysctl reads a value below /proc/sys.
func Sysctl(key string) (string, error) {
	now, err := os.ReadFile(filepath.Join("/proc/sys", key))
	return strings.TrimSpace(string(now)), err
}

// canSet fails where the value below /proc/sys cannot be changed: it writes the
// one that is there.
func canSet(key string) error {
	now, err := Sysctl(key)
	if err == nil {
		err = os.WriteFile(filepath.Join("/proc/sys", key), []byte(now), 0)
	}
	if err != nil {
		return fmt.Errorf("set sysctl %s: %w", key, err)
	}
	return nil
}

// SetSysctl writes a value below /proc/sys unless it is there already.
func SetSysctl(key, value string) error {
	now, err := Sysctl(key)
	if err == nil && now != value {
		err = os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
	}
	return nil
}
