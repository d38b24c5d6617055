// Package nameserver answers a sandbox's questions for names in place of the
// machine's resolvers: only of the domains that the sandbox may reach, and it
// tells the firewall which addresses they have before the sandbox knows them.
// Where the machine's resolvers are on its loopback, which no sandbox reaches,
// it passes all questions on. It imports no other package of the project; package local
// opens a server for each sandbox that needs one.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Config of a Server.
type Config struct {
	// Domains that are answered: "example.com", or "*.example.com" for all
	// below it. Empty is every domain.
	Domains []string
	// Upstreams are the resolvers to ask, in order.
	Upstreams func() []netip.AddrPort
	// Learn is told of the addresses of an allowed domain before the answer
	// goes out; they are good for life. Nil when Domains is empty.
	Learn func(addrs []netip.Addr, life time.Duration) error
	// IPv6 addresses of allowed domains are told, too.
	IPv6 bool
	Log  *slog.Logger
}

// Server answers at some addresses, by UDP and TCP.
type Server struct {
	config  Config
	servers []*dns.Server
	ports   []Ports
	asking  chan struct{}
	done    context.Context
	stop    context.CancelFunc
	serving sync.WaitGroup
}

// Ports are where a Server listens at one of its addresses.
type Ports struct{ UDP, TCP uint16 }

// The times of one question, and how many of a sandbox's are asked at once.
const (
	upstreamPatience = 3 * time.Second
	clientPatience   = 10 * time.Second
	maxAsking        = 128
	// An answer is good for its TTL within these bounds; addresses stay known
	// for a while longer, as programs keep them longer than they should.
	minTTL, maxTTL = 60 * time.Second, time.Hour
	overtime       = 5 * time.Minute
	maxAddresses   = 256 // of one answer
)

// Listen starts a server at the addresses, on ports that the kernel chooses.
func Listen(c Config, addrs ...netip.Addr) (_ *Server, err error) {
	s := &Server{config: c, asking: make(chan struct{}, maxAsking)}
	s.done, s.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, addr := range addrs {
		if err := s.listen(addr); err != nil {
			return nil, fmt.Errorf("answer names at %s: %w", addr, err)
		}
	}
	return s, nil
}

func (s *Server) listen(addr netip.Addr) error {
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return err
	}
	conns, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	s.ports = append(s.ports, Ports{UDP: uint16(packets.LocalAddr().(*net.UDPAddr).Port), TCP: uint16(conns.Addr().(*net.TCPAddr).Port)})
	handler := dns.HandlerFunc(s.answer)
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: handler},
		{Listener: conns, Handler: handler, MaxTCPQueries: 128, IdleTimeout: func() time.Duration { return clientPatience }},
	} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.serving.Go(func() {
			if err := server.ActivateAndServe(); err != nil && s.done.Err() == nil {
				s.config.Log.Error("answer names", "err", err)
			}
		})
		<-started
		s.servers = append(s.servers, server)
	}
	return nil
}

// Ports tells where the server listens, in the order of its addresses.
func (s *Server) Ports() []Ports { return s.ports }

// Close ends the server and the questions it has asked.
func (s *Server) Close() error {
	s.stop()
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Shutdown())
	}
	s.serving.Wait()
	return errors.Join(errs...)
}

func (s *Server) answer(w dns.ResponseWriter, q *dns.Msg) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	default:
		return // it asks too much; clients ask again
	}
	reply := s.reply(q)
	if _, datagram := w.RemoteAddr().(*net.UDPAddr); datagram {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = max(size, int(o.UDPSize()))
		}
		reply.Truncate(size)
	}
	if err := w.WriteMsg(reply); err != nil {
		s.config.Log.Debug("answer names", "err", err)
	}
}

// told are the records of an allowed domain that a sandbox may ask for. Hints of
// addresses (HTTPS) would not be known to the firewall.
var told = []uint16{dns.TypeA, dns.TypeCNAME, dns.TypeMX, dns.TypeTXT, dns.TypeSRV, dns.TypeNS, dns.TypeSOA, dns.TypeCAA}

func (s *Server) reply(q *dns.Msg) *dns.Msg {
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		return new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented)
	}
	question := q.Question[0]
	limited := len(s.config.Domains) > 0
	if limited && !allowed(s.config.Domains, question.Name) {
		return filtered(q)
	}
	if limited && !slices.Contains(told, question.Qtype) && !(s.config.IPv6 && question.Qtype == dns.TypeAAAA) {
		return new(dns.Msg).SetReply(q)
	}
	reply, err := s.ask(q)
	if err != nil {
		s.config.Log.Warn("no resolver of this machine answers", "name", question.Name, "err", err)
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	if limited {
		if err := s.learn(reply); err != nil {
			s.config.Log.Error("let a sandbox reach a domain", "name", question.Name, "err", err)
			return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		}
	}
	return reply
}

// ask asks the machine's resolvers, one after the other.
func (s *Server) ask(q *dns.Msg) (*dns.Msg, error) {
	err := errors.New("this machine has no resolvers")
	for _, upstream := range s.config.Upstreams() {
		var reply *dns.Msg
		for _, network := range []string{"udp", "tcp"} {
			ctx, cancel := context.WithTimeout(s.done, upstreamPatience)
			client := &dns.Client{Net: network, Timeout: upstreamPatience}
			asked := q.Copy()
			asked.Id = dns.Id()
			reply, _, err = client.ExchangeContext(ctx, asked, upstream.String())
			cancel()
			if err != nil || !reply.Truncated {
				break
			}
		}
		if err != nil {
			continue
		}
		if !slices.Equal(reply.Question, q.Question) {
			err = fmt.Errorf("%s answers another question", upstream)
			continue
		}
		reply.Id = q.Id
		return reply, nil
	}
	return nil, err
}

// learn tells the firewall of the addresses in an answer, and makes the answer
// no longer good than they are.
func (s *Server) learn(reply *dns.Msg) error {
	life := maxTTL
	var addrs []netip.Addr
	for _, rr := range reply.Answer {
		ttl := min(max(time.Duration(rr.Header().Ttl)*time.Second, minTTL), maxTTL)
		rr.Header().Ttl = uint32(ttl / time.Second)
		life = min(life, ttl)
		if addr := address(rr); addr.IsValid() && len(addrs) < maxAddresses {
			addrs = append(addrs, addr)
		}
	}
	reply.Extra = slices.DeleteFunc(reply.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
	if len(addrs) == 0 {
		return nil
	}
	return s.config.Learn(addrs, life+overtime)
}

// address is that in a record; invalid when it holds none.
func address(rr dns.RR) (addr netip.Addr) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, _ = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		addr, _ = netip.AddrFromSlice(rr.AAAA.To16())
	}
	return addr
}

// filtered says that the name does not exist, and to those who can read it that
// a policy decided so (RFC 8914, section 4.18).
func filtered(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
	if q.IsEdns0() != nil {
		reply.SetEdns0(dns.DefaultMsgSize, false)
		reply.IsEdns0().Option = append(reply.IsEdns0().Option, &dns.EDNS0_EDE{
			InfoCode: dns.ExtendedErrorCodeFiltered, ExtraText: "not in the sandbox's domainAllowList",
		})
	}
	return reply
}

// allowed tells whether name is one of the domains.
func allowed(domains []string, name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return slices.ContainsFunc(domains, func(d string) bool {
		if below, ok := strings.CutPrefix(d, "*."); ok {
			return strings.HasSuffix(name, "."+below)
		}
		return name == d
	})
}
