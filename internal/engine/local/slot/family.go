package slot

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// family is one of the two kinds of addresses, with what the firewall must know
// of its packets.
type family struct {
	proto        byte                 // of netfilter
	suffix       string               // of the names of its sets
	key          nftables.SetDatatype // of its addresses
	saddr, daddr uint32               // offsets in the header (RFC 791, RFC 8200)
	flows        netlink.InetFamily   // of connection tracking
}

var (
	four = &family{proto: unix.NFPROTO_IPV4, key: nftables.TypeIPAddr, saddr: 12, daddr: 16, flows: unix.AF_INET}
	six  = &family{proto: unix.NFPROTO_IPV6, suffix: "6", key: nftables.TypeIP6Addr, saddr: 8, daddr: 24, flows: unix.AF_INET6}
)

func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return four
	}
	return six
}

// is matches the family's packets.
func (v *family) is() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{v.proto}}}
}

// source and destination load an address of a packet of the family.
func (v *family) source() expr.Any      { return v.address(v.saddr) }
func (v *family) destination() expr.Any { return v.address(v.daddr) }

func (v *family) address(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: v.key.Bytes}
}

// from and to match packets whose source or destination is in p.
func from(p netip.Prefix) []expr.Any { return within(p, (*family).source) }
func to(p netip.Prefix) []expr.Any   { return within(p, (*family).destination) }

func within(p netip.Prefix, load func(*family) expr.Any) []expr.Any {
	v := familyOf(p.Addr())
	mask := make([]byte, v.key.Bytes)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return append(v.is(), load(v),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: v.key.Bytes, Mask: mask, Xor: make([]byte, v.key.Bytes)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	)
}

// only is the prefix of one address.
func only(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
