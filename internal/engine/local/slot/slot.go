// Package slot prepares what a sandbox needs before it is known: a user
// namespace with an id range of its own, a network namespace that it owns, a
// veth pair into it with an address, and the firewall's rules. Making one
// takes the milliseconds that a create should not wait for, so a Pool keeps
// some ready. It imports no other package of the project but package userid; package local
// takes slots.
//
// Namespaces are held by descriptors only, and a veth pair ends with the
// namespace of its inner end: whatever a killed server had prepared is freed
// by the kernel. Those of running sandboxes are held by their processes.
package slot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opendaytona/daytona/internal/userid"
)

// ErrNone says that all slots are taken.
var ErrNone = errors.New("all network slots are taken")

// Slots in one pool: the id ranges of an instance.
const Slots = 1024

// IDs in a slot's range: user and group ids 0…65535 inside.
const IDs = userid.Count

// firstID is where the id ranges of the first instance begin: above what
// distributions give to users and to subordinate ranges by default.
const firstID = 0x20000000

// DefaultSubnet is divided between the instances of a machine. 10.212.0.0/14 is
// seldom used by companies and never by the usual container tools.
var DefaultSubnet = netip.MustParsePrefix("10.212.0.0/14")

// Slot is the private half of a sandbox's surroundings. Host and Guest are the
// two ends of its link.
type Slot struct {
	Index  int
	HostID int // the sandbox's root is this user on the host
	Host   netip.Addr
	Guest  netip.Addr
	// Their IPv6 addresses; invalid where the slot has none.
	Host6, Guest6 netip.Addr

	// The namespaces; nil in a slot of a sandbox that an earlier server started.
	User, Net *os.File
	// IDMap is a user namespace for idmapped mounts: that of the sandbox, and
	// an id outside of its range for the host's root.
	IDMap *os.File
}

// Config of a Pool.
type Config struct {
	Instance int          // which slice of ids and addresses, 0…15
	Subnet   netip.Prefix // of all instances; the zero value is DefaultSubnet
	Subnet6  netip.Prefix // likewise; the zero value is DefaultSubnet6
	NoIPv6   bool         // not even where the machine has it
	Ready    int          // slots to keep ready
	// Bandwidth is what each sandbox may send, and receive, in bits per second;
	// 0 is no limit.
	Bandwidth int64
	Trial     bool // the machine need not forward what the sandboxes send
	Log       *slog.Logger
}

// Pool hands out slots.
type Pool struct {
	Config
	net  network
	fw   *firewall
	want chan struct{}
	done sync.WaitGroup
	stop context.CancelFunc
	six  atomic.Bool // the next slots have IPv6

	mu    sync.Mutex
	used  [Slots]bool
	next  int
	ready []*Slot
}

// Open sets up forwarding and the firewall. The slots in keep belong to running
// sandboxes: they are not handed out, and their links stay. refused are those of
// them whose rules could not be made; their sandboxes reach nothing until Apply
// succeeds.
func Open(c Config, keep map[int]Policy) (_ *Pool, refused map[int]error, err error) {
	if !c.Subnet.IsValid() {
		c.Subnet = DefaultSubnet
	}
	p := &Pool{Config: c, want: make(chan struct{}, 1)}
	if p.net, err = newNetwork(c); err != nil {
		return nil, nil, fmt.Errorf("prepare network slots: %w", err)
	}
	for index := range keep {
		if index >= 0 && index < Slots {
			p.used[index] = true
		}
	}
	stuck, err := p.net.sweep(func(index int) bool { return p.used[index] })
	if err != nil {
		return nil, nil, fmt.Errorf("prepare network slots: %w", err)
	}
	for index, err := range stuck {
		p.used[index] = true // until the next server
		p.Log.Error("remove the link of a network slot that is not in use", "slot", index, "err", err)
	}
	p.fw = newFirewall(p.net)
	if refused, err = p.installEach(keep); err != nil {
		return nil, nil, fmt.Errorf("install firewall: %w", err)
	}
	for index := range keep {
		if err := p.shape(index); err != nil {
			refused[index] = errors.Join(refused[index], err, p.fw.apply(index, Policy{BlockAll: true}))
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if p.net.with6 {
		p.followUplinks(ctx)
	}
	p.done.Add(1)
	go p.refill(ctx)
	p.wantSlots()
	return p, refused, nil
}

// installEach installs the firewall with the policies of all slots in use. Where
// the kernel refuses them together, each is tried by itself, with all others
// blocked until it is their turn.
func (p *Pool) installEach(policies map[int]Policy) (refused map[int]error, err error) {
	refused = map[int]error{}
	if err = p.fw.install(policies); err == nil || len(policies) == 0 {
		return refused, err
	}
	p.Log.Error("install the firewall with the rules of all running sandboxes: trying each by itself", "err", err)
	blocked := make(map[int]Policy, len(policies))
	for index := range policies {
		blocked[index] = Policy{BlockAll: true}
	}
	if err := p.fw.install(blocked); err != nil {
		return nil, err
	}
	for index, policy := range policies {
		if err := p.Apply(p.Adopt(index, false), policy); err != nil {
			refused[index] = err
		}
	}
	return refused, nil
}

// Close frees the slots that were not taken. With forget it removes the
// firewall too, for when no sandbox runs.
func (p *Pool) Close(forget bool) error {
	p.stop()
	p.done.Wait()
	errs := []error{p.freeReady()}
	if forget {
		errs = append(errs, p.fw.remove())
	}
	return errors.Join(errs...)
}

// freeReady frees the slots that nobody took.
func (p *Pool) freeReady() error {
	p.mu.Lock()
	ready := p.ready
	p.ready = nil
	p.mu.Unlock()
	var errs []error
	for _, s := range ready {
		errs = append(errs, p.free(s))
	}
	return errors.Join(errs...)
}

// Take hands out a slot, a prepared one if there is one. Errors: ErrNone.
func (p *Pool) Take() (*Slot, error) {
	defer p.wantSlots()
	p.mu.Lock()
	if n := len(p.ready); n > 0 {
		s := p.ready[n-1]
		p.ready = p.ready[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	return p.make()
}

// TakeAgain is Take for a sandbox that had a slot before: the same one, with its
// addresses, unless another has it now.
func (p *Pool) TakeAgain(index int) (*Slot, error) {
	p.mu.Lock()
	free := index >= 0 && index < Slots && !p.used[index]
	if free {
		p.used[index] = true
	}
	p.mu.Unlock()
	if !free {
		return p.Take()
	}
	return p.prepare(index)
}

// Adopt returns the slot of a sandbox that runs, with IPv6 when it was made so.
func (p *Pool) Adopt(index int, six bool) *Slot { return p.net.slot(index, six) }

// Reshape does for a running sandbox's slot what Open could not: its limit of
// bandwidth.
func (p *Pool) Reshape(s *Slot) error { return p.shape(s.Index) }

// Apply sets what the slot's sandbox may reach, at once and for connections
// that are open too.
func (p *Pool) Apply(s *Slot, policy Policy) error {
	if err := p.fw.apply(s.Index, policy); err != nil {
		return fmt.Errorf("set network policy of slot %d: %w", s.Index, err)
	}
	return nil
}

// CloseNamespaces lets go of the slot's namespaces, which a started sandbox's
// processes hold.
func (s *Slot) CloseNamespaces() {
	for _, f := range []*os.File{s.User, s.Net, s.IDMap} {
		if f != nil {
			f.Close()
		}
	}
	s.User, s.Net, s.IDMap = nil, nil, nil
}

// Release frees a slot whose sandbox has ended.
func (p *Pool) Release(s *Slot) error {
	err := p.fw.apply(s.Index, Policy{})
	return errors.Join(err, p.free(s))
}

func (p *Pool) free(s *Slot) error {
	s.CloseNamespaces()
	if err := p.net.removeLink(s.Index); err != nil {
		return fmt.Errorf("free network slot %d: %w", s.Index, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[s.Index] = false
	return nil
}

func (p *Pool) reserve() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Round and round, so that an address is not used again at once: what the
	// world still sends to the last sandbox should not reach the next one.
	for range Slots {
		index := p.next
		p.next = (p.next + 1) % Slots
		if !p.used[index] {
			p.used[index] = true
			return index, nil
		}
	}
	return 0, ErrNone
}

func (p *Pool) make() (*Slot, error) {
	index, err := p.reserve()
	if err != nil {
		return nil, err
	}
	return p.prepare(index)
}

// prepare makes the slot of an index that is reserved.
func (p *Pool) prepare(index int) (_ *Slot, err error) {
	s := p.net.slot(index, p.six.Load())
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make network slot %d: %w", index, err), p.free(s))
		}
	}()
	if s.User, s.Net, err = newNamespaces(s.HostID); err != nil {
		return nil, err
	}
	if s.IDMap, err = newIDMap(s.HostID); err != nil {
		return nil, err
	}
	// Docker may have been started since the last slot was made.
	if err := p.fw.passDocker(); err != nil {
		p.Log.Warn("sandboxes may not get through the rules of the Docker on this machine", "err", err)
	}
	if err := p.net.addLink(s); err != nil || p.Bandwidth == 0 {
		return s, err
	}
	return s, p.shape(s.Index)
}

func (p *Pool) wantSlots() {
	select {
	case p.want <- struct{}{}:
	default:
	}
}

// refill keeps the pool filled until ctx ends.
func (p *Pool) refill(ctx context.Context) {
	defer p.done.Done()
	const (
		calm     = 80 * time.Millisecond // the start that took a slot, and its first command, need the processors now
		maxPause = time.Minute
	)
	pause := time.Second // after a failure, doubled with each
	for first := true; ; first = false {
		select {
		case <-p.want:
		case <-ctx.Done():
			return
		}
		if !first {
			select {
			case <-time.After(calm):
			case <-ctx.Done():
				return
			}
		}
		for ctx.Err() == nil && p.lacks() {
			s, err := p.make()
			if err != nil {
				p.Log.Warn("prepare a network slot", "err", err, "again in", pause)
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
				pause = min(2*pause, maxPause)
				continue
			}
			pause = time.Second
			p.mu.Lock()
			late := p.six.Load() && !s.Guest6.IsValid() // the machine has IPv6 since just now
			if !late {
				p.ready = append(p.ready, s)
			}
			p.mu.Unlock()
			if late {
				if err := p.free(s); err != nil {
					p.Log.Warn("free a network slot without IPv6", "err", err)
				}
			}
		}
	}
}

func (p *Pool) lacks() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ready) < p.Ready
}

// Prefix is what the names of an instance's links begin with.
func Prefix(instance int) string { return "dt" + strconv.Itoa(instance) + "-" }
