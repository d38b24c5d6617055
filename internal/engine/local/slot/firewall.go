package slot

import (
	"errors"
	"fmt"
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
	maps     map[mapKey]*nftables.Set // guest address → jump to its chain
	policies map[int]Policy           // of the slots that have chains
}

type mapKey struct {
	part
	*family
}

func newFirewall(n network) *firewall {
	return &firewall{
		net: n, maps: map[mapKey]*nftables.Set{}, policies: map[int]Policy{},
		table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "daytona" + strconv.Itoa(n.instance)},
	}
}

// families are those that sandboxes may have.
func (f *firewall) families() []*family {
	if f.net.with6 {
		return []*family{four, six}
	}
	return []*family{four}
}

// install replaces the whole table in one transaction: running sandboxes are
// never without it. The policies are those of the slots in use.
func (f *firewall) install(policies map[int]Policy) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// What a server before this one has learned, its sandboxes go on with.
	known := make(map[int]learned)
	for index, p := range policies {
		known[index] = f.learned(c, index, p)
	}
	c.AddTable(f.table) // so that deleting it cannot fail
	c.DelTable(f.table)
	c.AddTable(f.table)

	for _, p := range parts {
		for _, v := range f.families() {
			set := &nftables.Set{Table: f.table, Name: string(p) + v.suffix, IsMap: true, KeyType: v.key, DataType: nftables.TypeVerdict}
			if err := c.AddSet(set, nil); err != nil {
				return err
			}
			f.maps[mapKey{p, v}] = set
		}
	}
	if err := f.police(c); err != nil {
		return err
	}
	f.addArriving(c)
	f.fitSegments(c)
	f.addForwarded(c)
	for index, p := range policies {
		if err := f.add(c, index, p, known[index]); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	for index, p := range policies {
		if len(p.parts()) > 0 {
			f.policies[index] = p
		}
	}
	return nil
}

// early is before the machine's own filters (priority 0).
var early = nftables.ChainPriorityRef(-5)

// addArriving adds what decides about packets from sandboxes to the host.
func (f *firewall) addArriving(c *nftables.Conn) {
	accept := nftables.ChainPolicyAccept
	// Before the machine's own redirections (priority -100), which could lead
	// from one of its addresses to a container's; after connection tracking (-200).
	arriving := c.AddChain(&nftables.Chain{Name: "prerouting", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle, Policy: &accept})
	f.rule(c, arriving, f.fromSandbox(), state(expr.CtStateBitESTABLISHED), verdict(expr.VerdictAccept))
	f.passNeighbours(c, arriving)
	f.rule(c, arriving, f.fromSandbox(), toHost(), verdict(expr.VerdictDrop))
	// Questions for names go to the sandbox's own server where it has one, with
	// whatever resolver it asks.
	redirect := c.AddChain(&nftables.Chain{Name: "redirect", Table: f.table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest, Policy: &accept})
	f.jumpBySource(c, redirect, redirected)
	input := c.AddChain(&nftables.Chain{Name: "input", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: early, Policy: &accept})
	// No errors about other connections: the host would believe them (RELATED).
	f.rule(c, input, f.fromSandbox(), state(expr.CtStateBitESTABLISHED), verdict(expr.VerdictAccept))
	f.passNeighbours(c, input)
	f.rule(c, input, f.fromSandbox(), routedBack(false), verdict(expr.VerdictDrop))
	f.jumpBySource(c, input, answered)
	f.rule(c, input, f.fromSandbox(), verdict(expr.VerdictDrop))
}

// passNeighbours lets the two ends of a link find each other (RFC 4861). Nothing
// else of the protocol passes: no sandbox advertises itself as a router or
// redirects the host, and from its own addresses only, a sandbox cannot fill the
// host's table of neighbours.
func (f *firewall) passNeighbours(c *nftables.Conn, chain *nftables.Chain) {
	if !f.net.with6 {
		return
	}
	const solicitation, advertisement = 135, 136
	kinds := append(transport(unix.IPPROTO_ICMPV6),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{solicitation}, ToData: []byte{advertisement}},
	)
	f.rule(c, chain, f.fromSandbox(), from(f.net.own6), routedBack(true), kinds, verdict(expr.VerdictAccept))
	f.rule(c, chain, f.fromSandbox(), from(only(guestLocal)), kinds, verdict(expr.VerdictAccept))
}

// fitSegments lets both ends of a connection send no larger segments than the way
// between them takes, as far as this machine knows it. The networks of containers in a
// sandbox have MTUs of their own, and many networks lose what would tell them of a
// smaller one.
func (f *firewall) fitSegments(c *nftables.Conn) {
	accept := nftables.ChainPolicyAccept
	chain := c.AddChain(&nftables.Chain{Name: "segments", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityMangle, Policy: &accept})
	const flags, syn, rst, maxseg = 13, 0x02, 0x04, 2 // RFC 9293, sections 3.1 and 3.2
	opening := append(transport(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn | rst}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{syn}},
	)
	fit := []expr.Any{ // the kernel makes it smaller only
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: 1, Op: expr.ExthdrOpTcpopt, Type: maxseg, Offset: 2, Len: 2},
	}
	f.rule(c, chain, f.fromSandbox(), opening, fit)
	f.rule(c, chain, f.toSandbox(), opening, fit)
}

// addForwarded adds what decides about packets from sandboxes to elsewhere.
func (f *firewall) addForwarded(c *nftables.Conn) {
	accept := nftables.ChainPolicyAccept
	forward := c.AddChain(&nftables.Chain{Name: "forward", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: early, Policy: &accept})
	f.rule(c, forward, f.toSandbox(), established(), verdict(expr.VerdictAccept))
	f.rule(c, forward, f.toSandbox(), verdict(expr.VerdictDrop))
	if !f.net.with6 {
		f.rule(c, forward, f.fromSandbox(), six.is(), verdict(expr.VerdictDrop))
	}
	f.rule(c, forward, f.fromSandbox(), routedBack(false), verdict(expr.VerdictDrop))
	for _, p := range f.net.never() {
		f.rule(c, forward, f.fromSandbox(), to(p), verdict(expr.VerdictDrop))
	}
	f.jumpBySource(c, forward, limited)

	nat := c.AddChain(&nftables.Chain{Name: "postrouting", Table: f.table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	for _, own := range f.net.owns() {
		f.rule(c, nat, from(own), f.link(expr.MetaKeyOIFNAME, expr.CmpOpNeq), []expr.Any{&expr.Masq{}})
	}
}

// apply changes one sandbox's policy in one transaction.
func (f *firewall) apply(index int, p Policy) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, limited := f.policies[index]
	if len(p.parts()) == 0 && !limited {
		return nil // nothing to take back
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	var known learned
	if old.within(p) {
		known = f.learned(c, index, old)
	}
	if err := f.drop(c, index, old); err != nil {
		return err
	}
	if err := f.add(c, index, p, known); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	f.policies[index] = p
	if len(p.parts()) == 0 {
		delete(f.policies, index)
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

func established() []expr.Any { return state(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED) }

// state matches packets of connections in one of the states.
func state(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
			Mask: binaryutil.NativeEndian.PutUint32(bits)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// routedBack matches a source that is, or is not, routed back the way it came.
func routedBack(is bool) []expr.Any {
	op := expr.CmpOpEq
	if is {
		op = expr.CmpOpNeq
	}
	return []expr.Any{
		&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagIIF: true},
		&expr.Cmp{Op: op, Register: 1, Data: make([]byte, 4)},
	}
}

// toHost matches a destination that is one of this machine's own addresses.
func toHost() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
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
func (f *firewall) jumpBySource(c *nftables.Conn, chain *nftables.Chain, p part) {
	for _, v := range f.families() {
		set := f.maps[mapKey{p, v}]
		f.rule(c, chain, f.fromSandbox(), v.is(), []expr.Any{v.source(),
			&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetID: set.ID, SetName: set.Name}})
	}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
