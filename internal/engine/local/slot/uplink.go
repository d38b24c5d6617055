package slot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// followUplinks gives slots IPv6 from the moment when the machine has a default
// route for it, which may come after the server, and forwards what comes back
// by the links of such routes. It returns when it knows of the present ones.
func (p *Pool) followUplinks(ctx context.Context) {
	const pause = time.Second // after the kernel had more to tell than its buffer takes
	updates, end := p.uplinks(ctx)
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		for {
			for u := range updates {
				if u.Type == unix.RTM_NEWROUTE {
					p.routed(u.Route)
				}
			}
			end()
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			updates, end = p.uplinks(ctx)
		}
	}()
}

// uplinks tells of routes from now on, and has looked at those there are. The
// channel is closed after the end of ctx, a call of end, or an error.
func (p *Pool) uplinks(ctx context.Context) (_ <-chan netlink.RouteUpdate, end context.CancelFunc) {
	ctx, end = context.WithCancel(ctx)
	updates := make(chan netlink.RouteUpdate)
	if err := netlink.RouteSubscribeWithOptions(updates, ctx.Done(), netlink.RouteSubscribeOptions{}); err != nil {
		p.Log.Warn("learn of changed routes", "err", err)
		close(updates)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		p.Log.Warn("look for IPv6 routes", "err", err)
	}
	for _, r := range routes {
		p.routed(r)
	}
	return updates, end
}

// routed is told of a route.
func (p *Pool) routed(r netlink.Route) {
	if r.Family != netlink.FAMILY_V6 || r.Type != unix.RTN_UNICAST {
		return
	}
	if r.Dst != nil {
		if ones, _ := r.Dst.Mask.Size(); ones != 0 {
			return
		}
	}
	links := []int{r.LinkIndex}
	for _, hop := range r.MultiPath {
		links = append(links, hop.LinkIndex)
	}
	for _, index := range links {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			continue // it is gone, or there are several and this is none
		}
		name := link.Attrs().Name
		if err := forward6(name); err != nil {
			p.Log.Warn("sandboxes have no IPv6 by a link", "link", name, "err", err)
			continue
		}
		if p.six.CompareAndSwap(false, true) {
			p.Log.Info("sandboxes get IPv6", "link", name)
			if err := p.freeReady(); err != nil { // they have none
				p.Log.Warn("free network slots without IPv6", "err", err)
			}
			p.wantSlots()
		}
	}
}

const conf6 = "net/ipv6/conf/" // below /proc/sys

// forward6 makes the kernel forward IPv6 that arrives by a link. Since Linux
// 6.17 that is possible for one link; before, for all of them.
func forward6(link string) error {
	if value, err := Sysctl(conf6 + "all/forwarding"); err != nil || value == "1" {
		return err
	}
	err := SetSysctl(conf6+link+"/force_forwarding", "1")
	if errors.Is(err, os.ErrNotExist) {
		return forwardAll6()
	}
	return err
}

// forwardAll6 makes the kernel forward IPv6, and lets each link be a host's as
// before: one that is a router's no longer takes its addresses and routes from
// the routers of its network, and loses those it has (RFC 4861, section 6.2.2).
// The switch of all links sets each link's own. While it is thrown, accept_ra of
// 2 keeps what was learned; then each link's own, which decides about everything
// but forwarding, is set back.
func forwardAll6() error {
	links, err := os.ReadDir("/proc/sys/" + conf6)
	if err != nil {
		return fmt.Errorf("list links with IPv6: %w", err)
	}
	var hosts, accepting []string // keys
	for _, l := range links {
		forwarding, accept := conf6+l.Name()+"/forwarding", conf6+l.Name()+"/accept_ra"
		if value, err := Sysctl(forwarding); err != nil || value != "0" || l.Name() == "all" {
			continue // also a link that is gone
		}
		hosts = append(hosts, forwarding)
		if value, err := Sysctl(accept); err != nil || value != "1" {
			continue
		}
		accepting = append(accepting, accept)
		if err := SetSysctl(accept, "2"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	errs := []error{SetSysctl(conf6+"all/forwarding", "1")}
	back := func(keys []string, value string) {
		for _, key := range keys {
			if err := SetSysctl(key, value); !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	back(hosts, "0")
	back(accepting, "1")
	return errors.Join(errs...)
}
