package slot

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Policy is what a sandbox may reach outside. The zero value is everything but
// what no sandbox may: others, the host, link-local and special addresses.
type Policy struct {
	BlockAll bool
	Allow    []netip.Prefix // when this or Domains is not empty, only these
	// Resolvers are the name servers that stay reachable beside Allow.
	Resolvers []netip.Addr
	// Domains are reachable at the addresses that Learn is told of.
	Domains []string
	// Names answers the sandbox's questions for names; nil leaves them to the
	// resolvers that it asks.
	Names *NameServer `json:",omitempty"`
}

// NameServer is where a sandbox's name server listens on the slot's Host
// address.
type NameServer struct{ UDP, TCP uint16 }

func (p Policy) open() bool { return !p.BlockAll && len(p.Allow) == 0 && len(p.Domains) == 0 }

// learns tells whether there are sets of addresses.
func (p Policy) learns() bool { return !p.BlockAll && len(p.Domains) > 0 }

// within tells whether next answers for all domains of p too.
func (p Policy) within(next Policy) bool {
	return p.learns() && next.learns() && !slices.ContainsFunc(p.Domains, func(d string) bool { return !slices.Contains(next.Domains, d) })
}

// passes tells whether addr may be reached, whatever its name.
func (p Policy) passes(addr netip.Addr) bool {
	return p.open() || !p.BlockAll && slices.ContainsFunc(p.Allow, func(a netip.Prefix) bool { return a.Contains(addr) })
}

// part is one of the places where a sandbox may have a chain of its own.
type part string

// The parts; each has a map of this name from guest addresses to chains.
const (
	limited    part = "policies"  // what is forwarded
	redirected part = "redirects" // where questions for names go
	answered   part = "answers"   // which of the host's ports take them
)

var parts = []part{limited, redirected, answered}

func (p Policy) parts() (own []part) {
	if !p.open() {
		own = append(own, limited)
	}
	if p.Names != nil && !p.BlockAll {
		own = append(own, redirected, answered)
	}
	return own
}

func (f *firewall) chain(guest netip.Addr, p part) *nftables.Chain {
	return &nftables.Chain{Table: f.table, Name: string(p) + "-" + guest.String()}
}

func jump(guest netip.Addr, chain *nftables.Chain) []nftables.SetElement {
	return []nftables.SetElement{{Key: guest.AsSlice(), VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name}}}
}

// The addresses that a sandbox's domains had. New connections go to the fresh
// ones; a connection may stay at any that was.
func (f *firewall) fresh(guest netip.Addr) *nftables.Set {
	return &nftables.Set{Table: f.table, Name: "fresh-" + guest.String(), KeyType: nftables.TypeIPAddr, HasTimeout: true, Timeout: time.Hour, Size: maxLearned}
}

func (f *firewall) seen(guest netip.Addr) *nftables.Set {
	return &nftables.Set{Table: f.table, Name: "seen-" + guest.String(), KeyType: nftables.TypeIPAddr, HasTimeout: true, Timeout: seenLife, Size: maxLearned}
}

const (
	maxLearned = 1 << 16 // addresses of one sandbox
	seenLife   = 30 * 24 * time.Hour
)

// learned is what the sets of a sandbox hold.
type learned struct{ fresh, seen []nftables.SetElement }

// learned reads what the kernel has; nothing where there are no sets.
func (f *firewall) learned(c *nftables.Conn, guest netip.Addr, p Policy) (all learned) {
	if !p.learns() {
		return all
	}
	for set, to := range map[*nftables.Set]*[]nftables.SetElement{f.fresh(guest): &all.fresh, f.seen(guest): &all.seen} {
		elements, err := c.GetSetElements(set)
		if err != nil {
			continue
		}
		for _, e := range elements {
			life := e.Expires
			if life <= 0 {
				life = set.Timeout
			}
			*to = append(*to, nftables.SetElement{Key: e.Key, Timeout: life})
		}
	}
	return all
}

// add adds the chains of one sandbox.
func (f *firewall) add(c *nftables.Conn, guest netip.Addr, p Policy, known learned) error {
	for _, own := range p.parts() {
		chain := c.AddChain(f.chain(guest, own))
		var err error
		switch own {
		case limited:
			err = f.limit(c, chain, guest, p, known)
		case redirected:
			f.eachPort(p, func(protocol byte, n uint16) {
				f.rule(c, chain, port(protocol, 53), dnat(netip.AddrPortFrom(hostOf(guest), n)))
			})
		case answered:
			f.eachPort(p, func(protocol byte, n uint16) {
				f.rule(c, chain, prefix(daddr, netip.PrefixFrom(hostOf(guest), 32)), port(protocol, n), verdict(expr.VerdictAccept))
			})
		}
		if err == nil {
			err = c.SetAddElements(f.maps[own], jump(guest, chain))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *firewall) eachPort(p Policy, do func(protocol byte, n uint16)) {
	do(unix.IPPROTO_UDP, p.Names.UDP)
	do(unix.IPPROTO_TCP, p.Names.TCP)
}

// drop takes them back.
func (f *firewall) drop(c *nftables.Conn, guest netip.Addr, old Policy) error {
	for _, own := range old.parts() {
		chain := f.chain(guest, own)
		if err := c.SetDeleteElements(f.maps[own], jump(guest, chain)); err != nil {
			return err
		}
		c.FlushChain(chain)
		c.DelChain(chain)
		if own == limited && old.learns() {
			c.DelSet(f.fresh(guest))
			c.DelSet(f.seen(guest))
		}
	}
	return nil
}

// limit is the chain of a sandbox that may not reach everything. What it may
// not is refused, not dropped, so that programs inside say so at once.
func (f *firewall) limit(c *nftables.Conn, chain *nftables.Chain, guest netip.Addr, p Policy, known learned) error {
	if !p.BlockAll {
		for _, allowed := range p.Allow {
			if allowed.Addr().Is4() {
				f.rule(c, chain, prefix(daddr, allowed.Masked()), verdict(expr.VerdictAccept))
			}
		}
		for _, r := range p.Resolvers {
			if !r.Is4() || p.Names != nil {
				continue
			}
			for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
				f.rule(c, chain, prefix(daddr, netip.PrefixFrom(r, 32)), port(protocol, 53), verdict(expr.VerdictAccept))
			}
		}
		if p.learns() {
			fresh, seen := f.fresh(guest), f.seen(guest)
			if err := errors.Join(c.AddSet(fresh, known.fresh), c.AddSet(seen, known.seen)); err != nil {
				return err
			}
			f.rule(c, chain, member(fresh), verdict(expr.VerdictAccept))
			f.rule(c, chain, established(), member(seen), verdict(expr.VerdictAccept))
		}
	}
	f.rule(c, chain, transport(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	f.rule(c, chain, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	return nil
}

// learn lets a sandbox of domains reach addresses for life.
func (f *firewall) learn(guest netip.Addr, addrs []netip.Addr, life time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.policies[guest].learns() {
		return nil // the policy has just changed
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	for set, life := range map[*nftables.Set]time.Duration{f.fresh(guest): life, f.seen(guest): seenLife} {
		var elements []nftables.SetElement
		for _, a := range addrs {
			elements = append(elements, nftables.SetElement{Key: a.AsSlice(), Timeout: life})
		}
		// Adding one that is there would not make it live longer, and deleting
		// one that is not there would fail.
		err := errors.Join(c.SetAddElements(set, elements), c.SetDeleteElements(set, elements), c.SetAddElements(set, elements))
		if err != nil {
			return err
		}
	}
	return c.Flush()
}

// Learn lets the slot's sandbox reach addresses of its policy's domains for
// life.
func (p *Pool) Learn(s *Slot, addrs []netip.Addr, life time.Duration) error {
	if err := p.fw.learn(s.Guest, addrs, life); err != nil {
		return fmt.Errorf("learn addresses for slot %d: %w", s.Index, err)
	}
	return nil
}

// Cut ends the slot's open connections that policy, which was applied, does not
// let pass: the kernel forgets them, and what they still send is refused.
func (p *Pool) Cut(s *Slot, policy Policy) error {
	if policy.open() {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	r := refused{guest: s.Guest, policy: policy, known: map[netip.Addr]bool{}}
	for _, e := range p.fw.learned(c, s.Guest, policy).seen {
		if addr, ok := netip.AddrFromSlice(e.Key); ok {
			r.known[addr] = true
		}
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, r); err != nil {
		return fmt.Errorf("cut connections of slot %d: %w", s.Index, err)
	}
	return nil
}

// refused matches the connections to be cut. It implements
// netlink.CustomConntrackFilter.
type refused struct {
	guest  netip.Addr
	policy Policy
	known  map[netip.Addr]bool
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (r refused) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	from, _ := netip.AddrFromSlice(flow.Forward.SrcIP.To4())
	to, _ := netip.AddrFromSlice(flow.Forward.DstIP.To4())
	return from == r.guest && !r.known[to] && !r.policy.passes(to)
}

// member matches a destination in the set.
func member(set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: daddr, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
	}
}

// hostOf is the host's end of a guest's link.
func hostOf(guest netip.Addr) netip.Addr { return guest.Prev() }

func dnat(to netip.AddrPort) []expr.Any {
	addr := to.Addr().As4()
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: addr[:]},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(to.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}
}
