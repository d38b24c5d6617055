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
// address, and on its Host6 where there is one.
type NameServer struct {
	UDP, TCP   uint16
	UDP6, TCP6 uint16 `json:",omitempty"`
}

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

func (f *firewall) chain(index int, p part) *nftables.Chain {
	return &nftables.Chain{Table: f.table, Name: string(p) + "-" + f.net.guest(index).String()}
}

// jump leads from a sandbox's address to its chain.
func (f *firewall) jump(v *family, index int, chain *nftables.Chain) []nftables.SetElement {
	return []nftables.SetElement{{Key: f.net.guestOf(v, index).AsSlice(), VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name}}}
}

// fresh and seen are the addresses that a sandbox's domains had. New connections
// go to the fresh ones; a connection may stay at any that was.
func (f *firewall) fresh(v *family, index int) *nftables.Set {
	return f.addressSet("fresh", v, index, time.Hour)
}

func (f *firewall) seen(v *family, index int) *nftables.Set {
	return f.addressSet("seen", v, index, seenLife)
}

func (f *firewall) addressSet(name string, v *family, index int, life time.Duration) *nftables.Set {
	return &nftables.Set{Table: f.table, Name: name + v.suffix + "-" + f.net.guest(index).String(), KeyType: v.key, HasTimeout: true, Timeout: life, Size: maxLearned}
}

const (
	maxLearned = 1 << 16 // addresses of one sandbox, of each family
	seenLife   = 30 * 24 * time.Hour
)

// learned is what the sets of a sandbox hold, by their names.
type learned map[string][]nftables.SetElement

// learned reads what the kernel has; nothing where there are no sets.
func (f *firewall) learned(c *nftables.Conn, index int, p Policy) learned {
	all := learned{}
	if !p.learns() {
		return all
	}
	for _, v := range f.families() {
		for _, set := range []*nftables.Set{f.fresh(v, index), f.seen(v, index)} {
			elements, err := c.GetSetElements(set)
			if err != nil {
				continue
			}
			for _, e := range elements {
				life := e.Expires
				if life <= 0 {
					life = set.Timeout
				}
				all[set.Name] = append(all[set.Name], nftables.SetElement{Key: e.Key, Timeout: life})
			}
		}
	}
	return all
}

// add adds the chains of one sandbox.
func (f *firewall) add(c *nftables.Conn, index int, p Policy, known learned) error {
	for _, own := range p.parts() {
		chain := c.AddChain(f.chain(index, own))
		switch own {
		case limited:
			if err := f.limit(c, chain, index, p, known); err != nil {
				return err
			}
		case redirected:
			f.eachPort(index, p, func(protocol byte, at netip.AddrPort) {
				f.rule(c, chain, familyOf(at.Addr()).is(), port(protocol, 53), dnat(at))
			})
		case answered:
			f.eachPort(index, p, func(protocol byte, at netip.AddrPort) {
				f.rule(c, chain, to(only(at.Addr())), port(protocol, at.Port()), verdict(expr.VerdictAccept))
			})
		}
		for _, v := range f.families() {
			if err := c.SetAddElements(f.maps[mapKey{own, v}], f.jump(v, index, chain)); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachPort does something for each place where the sandbox's name server
// listens.
func (f *firewall) eachPort(index int, p Policy, do func(protocol byte, at netip.AddrPort)) {
	host := f.net.host(index)
	do(unix.IPPROTO_UDP, netip.AddrPortFrom(host, p.Names.UDP))
	do(unix.IPPROTO_TCP, netip.AddrPortFrom(host, p.Names.TCP))
	if f.net.with6 && p.Names.UDP6 != 0 {
		host := f.net.host6(index)
		do(unix.IPPROTO_UDP, netip.AddrPortFrom(host, p.Names.UDP6))
		do(unix.IPPROTO_TCP, netip.AddrPortFrom(host, p.Names.TCP6))
	}
}

// drop takes them back.
func (f *firewall) drop(c *nftables.Conn, index int, old Policy) error {
	for _, own := range old.parts() {
		chain := f.chain(index, own)
		for _, v := range f.families() {
			if err := c.SetDeleteElements(f.maps[mapKey{own, v}], f.jump(v, index, chain)); err != nil {
				return err
			}
		}
		c.FlushChain(chain)
		c.DelChain(chain)
		if own == limited && old.learns() {
			for _, v := range f.families() {
				c.DelSet(f.fresh(v, index))
				c.DelSet(f.seen(v, index))
			}
		}
	}
	return nil
}

// limit is the chain of a sandbox that may not reach everything. What it may
// not is refused, not dropped, so that programs inside say so at once.
func (f *firewall) limit(c *nftables.Conn, chain *nftables.Chain, index int, p Policy, known learned) error {
	if !p.BlockAll {
		for _, allowed := range p.Allow {
			f.rule(c, chain, to(allowed), verdict(expr.VerdictAccept))
		}
		for _, r := range p.Resolvers {
			if p.Names != nil {
				break
			}
			for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
				f.rule(c, chain, to(only(r)), port(protocol, 53), verdict(expr.VerdictAccept))
			}
		}
		if p.learns() {
			for _, v := range f.families() {
				fresh, seen := f.fresh(v, index), f.seen(v, index)
				if err := errors.Join(c.AddSet(fresh, known[fresh.Name]), c.AddSet(seen, known[seen.Name])); err != nil {
					return err
				}
				f.rule(c, chain, member(v, fresh), verdict(expr.VerdictAccept))
				f.rule(c, chain, established(), member(v, seen), verdict(expr.VerdictAccept))
			}
		}
	}
	f.rule(c, chain, transport(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	f.rule(c, chain, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	return nil
}

// learn lets a sandbox of domains reach addresses for life.
func (f *firewall) learn(index int, addrs []netip.Addr, life time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.policies[index].learns() {
		return nil // the policy has just changed
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	for _, v := range f.families() {
		for set, life := range map[*nftables.Set]time.Duration{f.fresh(v, index): life, f.seen(v, index): seenLife} {
			var elements []nftables.SetElement
			for _, a := range addrs {
				if familyOf(a) == v {
					elements = append(elements, nftables.SetElement{Key: a.AsSlice(), Timeout: life})
				}
			}
			if len(elements) == 0 {
				continue
			}
			// Adding one that is there would not make it live longer, and deleting
			// one that is not there would fail.
			err := errors.Join(c.SetAddElements(set, elements), c.SetDeleteElements(set, elements), c.SetAddElements(set, elements))
			if err != nil {
				return err
			}
		}
	}
	return c.Flush()
}

// Learn lets the slot's sandbox reach addresses of its policy's domains for
// life.
func (p *Pool) Learn(s *Slot, addrs []netip.Addr, life time.Duration) error {
	if err := p.fw.learn(s.Index, addrs, life); err != nil {
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
	known := p.fw.learned(c, s.Index, policy)
	for _, v := range p.fw.families() {
		r := refused{guest: p.net.guestOf(v, s.Index), policy: policy, known: map[netip.Addr]bool{}}
		for _, e := range known[p.fw.seen(v, s.Index).Name] {
			if addr, ok := netip.AddrFromSlice(e.Key); ok {
				r.known[addr] = true
			}
		}
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, v.flows, r); err != nil {
			return fmt.Errorf("cut connections of slot %d: %w", s.Index, err)
		}
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
	from, _ := netip.AddrFromSlice(flow.Forward.SrcIP)
	to, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	to = to.Unmap()
	return from.Unmap() == r.guest && !r.known[to] && !r.policy.passes(to)
}

// member matches a destination in the set.
func member(v *family, set *nftables.Set) []expr.Any {
	return append(v.is(), v.destination(), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID})
}

func dnat(to netip.AddrPort) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(to.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(familyOf(to.Addr()).proto), RegAddrMin: 1, RegProtoMin: 2},
	}
}
