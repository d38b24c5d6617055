package local

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/nameserver"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// SetNetwork implements engine.Engine.
func (l *Local) SetNetwork(ctx context.Context, id string, n engine.Network) error {
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	l.mu.Lock()
	c := l.running[id]
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	wanted, named := l.policy(n)
	if named {
		wanted.Names = c.Policy.Names
	}
	if !c.stale && reflect.DeepEqual(c.Policy, wanted) {
		return nil
	}
	c.stale = true // until all of it is done
	s := l.slots.Adopt(c.Slot, c.IPv6)
	r := c.runState
	if r.Policy, err = l.applyNetwork(id, s, n); err == nil {
		err = l.writeState(id, r)
	}
	if err == nil {
		err = l.slots.Cut(s, r.Policy)
	}
	if err != nil {
		return fmt.Errorf("set network of sandbox %s: %w", id, err)
	}
	l.mu.Lock()
	c.Policy, c.stale = r.Policy, false
	l.mu.Unlock()
	return nil
}

// applyNetwork makes what a sandbox's network policy needs and applies it.
func (l *Local) applyNetwork(id string, s *slot.Slot, n engine.Network) (policy slot.Policy, err error) {
	policy, named := l.policy(n)
	if named {
		policy.Names, err = l.startNameServer(id, s, policy)
	} else {
		err = l.replaceNameServer(id, nil)
	}
	if err != nil {
		return policy, err
	}
	return policy, l.slots.Apply(s, policy)
}

// policy is what the firewall is told; named tells whether the sandbox needs a
// name server of ours.
func (l *Local) policy(n engine.Network) (policy slot.Policy, named bool) {
	r := l.resolver()
	policy = slot.Policy{BlockAll: n.BlockAll, Allow: n.Allow, Domains: n.Domains, Resolvers: r.servers}
	return policy, !n.BlockAll && (len(n.Domains) > 0 || r.ours)
}

// startNameServer gives the sandbox a name server in place of the one it had.
func (l *Local) startNameServer(id string, s *slot.Slot, policy slot.Policy) (*slot.NameServer, error) {
	at := []netip.Addr{s.Host}
	if s.Host6.IsValid() {
		at = append(at, s.Host6)
	}
	server, err := nameserver.Listen(nameserver.Config{
		Domains: policy.Domains, Upstreams: upstreams, IPv6: s.Host6.IsValid(), Log: l.log(id),
		Learn: func(addrs []netip.Addr, life time.Duration) error { return l.slots.Learn(s, addrs, life) },
	}, at...)
	if err != nil {
		return nil, err
	}
	ports := slot.NameServer{UDP: server.Ports()[0].UDP, TCP: server.Ports()[0].TCP}
	if s.Host6.IsValid() {
		ports.UDP6, ports.TCP6 = server.Ports()[1].UDP, server.Ports()[1].TCP
	}
	return &ports, l.replaceNameServer(id, server)
}

// resumeNetwork applies the policy of a sandbox that an earlier server started,
// and serves names for it again.
func (l *Local) resumeNetwork(id string, r *runState) (err error) {
	s := l.slots.Adopt(r.Slot, r.IPv6)
	if r.Policy.Names != nil {
		if r.Policy.Names, err = l.startNameServer(id, s, r.Policy); err != nil {
			return err
		}
		if err := l.writeState(id, *r); err != nil {
			return err
		}
	}
	return errors.Join(l.slots.Reshape(s), l.slots.Apply(s, r.Policy))
}

// replaceNameServer ends the sandbox's name server; next, which may be nil, is its
// new one.
func (l *Local) replaceNameServer(id string, next *nameserver.Server) error {
	l.mu.Lock()
	last := l.nameServers[id]
	delete(l.nameServers, id)
	if next != nil {
		l.nameServers[id] = next
	}
	l.mu.Unlock()
	if last == nil {
		return nil
	}
	return last.Close()
}

// closeNameServers ends all name servers.
func (l *Local) closeNameServers() error {
	l.mu.Lock()
	all := l.nameServers
	l.nameServers = map[string]*nameserver.Server{}
	l.mu.Unlock()
	var errs []error
	for _, s := range all {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
