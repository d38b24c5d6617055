package slot

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is the nftables table of one instance. Its base chains decide
// before the machine's own rules, which can only forbid more.
type firewall struct {
	net   network
	table *nftables.Table

	passed atomic.Bool // Docker's rules know us

	mu       sync.Mutex
	maps     map[part]*nftables.Set // guest address → jump to its chain
	policies map[netip.Addr]Policy  // of the guests that have chains
}

func newFirewall(n network) *firewall {
	return &firewall{
		net: n, maps: map[part]*nftables.Set{}, policies: map[netip.Addr]Policy{},
		table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "daytona" + strconv.Itoa(n.instance)},
	}
}

// never are destinations outside of the subnet that no sandbox reaches: what
// RFC 6890 calls "this host", loopback, link-local (metadata services live
// there), multicast and reserved. The machine's own addresses are the input
// chain's matter.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
}

// install replaces the whole table in one transaction: running sandboxes are
// never without it.
func (f *firewall) install(policies map[netip.Addr]Policy) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// What a server before this one has learned, its sandboxes go on with.
	known := make(map[netip.Addr]learned)
	for guest, p := range policies {
		known[guest] = f.learned(c, guest, p)
	}
	c.AddTable(f.table) // so that deleting it cannot fail
	c.DelTable(f.table)
	c.AddTable(f.table)

	for _, p := range parts {
		f.maps[p] = &nftables.Set{Table: f.table, Name: string(p), IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeVerdict}
		if err := c.AddSet(f.maps[p], nil); err != nil {
			return err
		}
	}
	if err := f.police(c); err != nil {
		return err
	}
	accept := nftables.ChainPolicyAccept
	// Before the machine's own filters (priority 0).
	early := nftables.ChainPriorityRef(-5)
	// Before the machine's own redirections (priority -100), which could lead
	// from one of its addresses to a container's; after connection tracking (-200).
	arriving := c.AddChain(&nftables.Chain{Name: "prerouting", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle, Policy: &accept})
	f.rule(c, arriving, f.fromSandbox(), established(), verdict(expr.VerdictAccept))
	f.rule(c, arriving, f.fromSandbox(), toHost(), verdict(expr.VerdictDrop))
	// Questions for names go to the sandbox's own server where it has one, with
	// whatever resolver it asks.
	redirect := c.AddChain(&nftables.Chain{Name: "redirect", Table: f.table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest, Policy: &accept})
	f.rule(c, redirect, f.fromSandbox(), family(expr.CmpOpEq, unix.NFPROTO_IPV4), f.jumpBySource(redirected))
	input := c.AddChain(&nftables.Chain{Name: "input", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: early, Policy: &accept})
	f.rule(c, input, f.fromSandbox(), established(), verdict(expr.VerdictAccept))
	f.rule(c, input, f.fromSandbox(), family(expr.CmpOpNeq, unix.NFPROTO_IPV4), verdict(expr.VerdictDrop))
	f.rule(c, input, f.fromSandbox(), spoofed(), verdict(expr.VerdictDrop))
	f.rule(c, input, f.fromSandbox(), f.jumpBySource(answered))
	f.rule(c, input, f.fromSandbox(), verdict(expr.VerdictDrop))

	forward := c.AddChain(&nftables.Chain{Name: "forward", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: early, Policy: &accept})
	f.rule(c, forward, f.toSandbox(), established(), verdict(expr.VerdictAccept))
	f.rule(c, forward, f.toSandbox(), verdict(expr.VerdictDrop))
	f.rule(c, forward, f.fromSandbox(), family(expr.CmpOpNeq, unix.NFPROTO_IPV4), verdict(expr.VerdictDrop))
	f.rule(c, forward, f.fromSandbox(), spoofed(), verdict(expr.VerdictDrop))
	for _, p := range append([]netip.Prefix{f.net.all}, never...) {
		f.rule(c, forward, f.fromSandbox(), prefix(daddr, p), verdict(expr.VerdictDrop))
	}
	f.rule(c, forward, f.fromSandbox(), f.jumpBySource(limited))

	nat := c.AddChain(&nftables.Chain{Name: "postrouting", Table: f.table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	f.rule(c, nat, family(expr.CmpOpEq, unix.NFPROTO_IPV4), prefix(saddr, f.net.own), f.link(expr.MetaKeyOIFNAME, expr.CmpOpNeq), []expr.Any{&expr.Masq{}})

	for guest, p := range policies {
		if err := f.add(c, guest, p, known[guest]); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	for guest, p := range policies {
		if len(p.parts()) > 0 {
			f.policies[guest] = p
		}
	}
	return nil
}

// apply changes one sandbox's policy in one transaction.
func (f *firewall) apply(guest netip.Addr, p Policy) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, limited := f.policies[guest]
	if len(p.parts()) == 0 && !limited {
		return nil // nothing to take back
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	var known learned
	if old.within(p) {
		known = f.learned(c, guest, old)
	}
	if err := f.drop(c, guest, old); err != nil {
		return err
	}
	if err := f.add(c, guest, p, known); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	f.policies[guest] = p
	if len(p.parts()) == 0 {
		delete(f.policies, guest)
	}
	return nil
}

// remove removes the table; a missing one is fine.
func (f *firewall) remove() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	if err := leaveDocker(c, Prefix(f.net.instance)); err != nil {
		return err
	}
	c.DelTable(f.table)
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove nftables table %s: %w", f.table.Name, err)
	}
	return nil
}

// passDocker lets the sandboxes through the rules of a Docker on the host, once
// it is there.
func (f *firewall) passDocker() error {
	if f.passed.Load() {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	done, err := passDocker(c, Prefix(f.net.instance))
	f.passed.Store(done)
	return err
}

func (f *firewall) rule(c *nftables.Conn, chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	c.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: all})
}

// Offsets in the IPv4 header (RFC 791).
const (
	saddr = 12
	daddr = 16
)

func (f *firewall) fromSandbox() []expr.Any { return f.link(expr.MetaKeyIIFNAME, expr.CmpOpEq) }
func (f *firewall) toSandbox() []expr.Any   { return f.link(expr.MetaKeyOIFNAME, expr.CmpOpEq) }

func (f *firewall) link(key expr.MetaKey, op expr.CmpOp) []expr.Any {
	return linkPrefix(key, op, Prefix(f.net.instance))
}

// linkPrefix compares the beginning of a link's name: a comparison shorter than
// the register ignores the rest, which is how nft writes "dt0-*".
func linkPrefix(key expr.MetaKey, op expr.CmpOp, prefix string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(prefix)}}
}

func family(op expr.CmpOp, nfproto byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{nfproto}}}
}

func established() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// spoofed matches a source that is not routed back the way it came.
func spoofed() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagIIF: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
	}
}

// toHost matches a destination that is one of this machine's own addresses.
func toHost() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

// prefix matches an IPv4 address in the header against p.
func prefix(offset uint32, p netip.Prefix) []expr.Any {
	addr := p.Masked().Addr().As4()
	mask := binaryutil.BigEndian.PutUint32(^uint32(0) << (32 - p.Bits()))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr[:]},
	}
}

// port matches a protocol and its destination port.
func port(protocol byte, n uint16) []expr.Any {
	return append(transport(protocol),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(n)},
	)
}

func transport(protocol byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	}
}

// jumpBySource goes on in the chain that a sandbox has for this part, if any.
func (f *firewall) jumpBySource(p part) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: saddr, Len: 4},
		&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetID: f.maps[p].ID, SetName: f.maps[p].Name},
	}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
