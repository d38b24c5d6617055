package slot

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Both ends of a slot's bandwidth are held on the host, where nothing inside
// can change them. What a sandbox receives waits in a token bucket on the
// host's end of its link. What it sends has arrived when the host sees it, so
// what is too much is dropped, and its TCP adapts.

// burst is how many bytes a sandbox may receive at once: at least some packets as
// large as offloading makes them.
func burst(bytesPerSecond uint64) uint64 { return max(bytesPerSecond/20, 256<<10) }

// queued is how long what a sandbox receives may wait.
const queued = 100 * time.Millisecond

// shape limits what the sandbox of a slot receives, or no longer does.
func (p *Pool) shape(index int) error {
	link, err := netlink.LinkByName(p.net.linkName(index))
	if err != nil {
		return fmt.Errorf("limit the bandwidth of slot %d: %w", index, err)
	}
	attrs := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
	rate := uint64(p.Bandwidth) / 8
	if rate == 0 {
		err = netlink.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: "tbf"})
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // there is none
			return nil
		}
	} else {
		size := burst(rate)
		err = netlink.QdiscReplace(&netlink.Tbf{
			QdiscAttrs: attrs, Rate: rate, Buffer: netlink.Xmittime(rate, uint32(size)),
			Limit: uint32(min(size+rate*uint64(queued)/uint64(time.Second), 1<<31)),
		})
	}
	if err != nil {
		return fmt.Errorf("limit the bandwidth of slot %d (the kernel needs sch_tbf): %w", index, err)
	}
	return nil
}

// police drops what sandboxes send beyond their bandwidth, each on its own. It
// comes first of all, before connection tracking (-200). After a silence what may
// be sent in a second may go at once: the kernel counts no shorter time.
func (f *firewall) police(c *nftables.Conn) error {
	rate := uint64(f.net.bandwidth) / 8
	if rate == 0 {
		return nil
	}
	// The kernel adds a sandbox's link with its first packet, and forgets one
	// that is silent.
	sent := &nftables.Set{Table: f.table, Name: "sent", KeyType: nftables.TypeIFIndex, Dynamic: true, HasTimeout: true, Timeout: time.Minute, Size: 2 * Slots}
	if err := c.AddSet(sent, nil); err != nil {
		return err
	}
	accept := nftables.ChainPolicyAccept
	chain := c.AddChain(&nftables.Chain{Name: "bandwidth", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw, Policy: &accept})
	f.rule(c, chain, f.fromSandbox(), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: 1},
		&expr.Dynset{SrcRegKey: 1, SetName: sent.Name, SetID: sent.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{
			&expr.Limit{Type: expr.LimitTypePktBytes, Rate: rate, Unit: expr.LimitTimeSecond, Over: true},
		}},
	}, verdict(expr.VerdictDrop))
	return nil
}
