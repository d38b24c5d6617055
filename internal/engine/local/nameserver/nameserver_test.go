package nameserver

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// upstream is a resolver that knows some names.
func upstream(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		for _, text := range map[uint16][]string{dns.TypeA: {"1 IN A 192.0.2.7", "86400 IN A 192.0.2.8"}, dns.TypeAAAA: {"1 IN AAAA 2001:db8::7"}}[q.Question[0].Qtype] {
			rr, err := dns.NewRR(q.Question[0].Name + " " + text)
			if err != nil {
				t.Error(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		if err := w.WriteMsg(reply); err != nil {
			t.Error(err)
		}
	})}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

type learned struct {
	mu    sync.Mutex
	addrs map[netip.Addr]time.Duration
	fail  error
}

func (l *learned) learn(addrs []netip.Addr, life time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range addrs {
		l.addrs[a] = life
	}
	return l.fail
}

func serve(t *testing.T, l *learned, domains ...string) *Server {
	t.Helper()
	return serveWith(t, Config{Domains: domains, Learn: l.learn})
}

var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

func serveWith(t *testing.T, c Config) *Server {
	t.Helper()
	up := upstream(t)
	c.Log = slog.New(slog.DiscardHandler)
	// The first one does not answer: the next is asked.
	c.Upstreams = func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1"), up} }
	s, err := Listen(c, loopbacks...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, s *Server, network, name string, kind uint16) *dns.Msg {
	t.Helper()
	return askAt(t, s, 0, network, name, kind)
}

// askAt asks at one of the server's addresses.
func askAt(t *testing.T, s *Server, at int, network, name string, kind uint16) *dns.Msg {
	t.Helper()
	port := map[string]uint16{"udp": s.Ports()[at].UDP, "tcp": s.Ports()[at].TCP}[network]
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(1232, false)
	reply, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, netip.AddrPortFrom(loopbacks[at], port).String())
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestOnlyAllowedDomainsAreAnswered(t *testing.T) {
	l := &learned{addrs: map[netip.Addr]time.Duration{}}
	s := serve(t, l, "example.com", "*.example.org")
	for name, want := range map[string]int{
		"example.com":          dns.RcodeSuccess,
		"EXAMPLE.com":          dns.RcodeSuccess,
		"www.example.com":      dns.RcodeNameError,
		"notexample.com":       dns.RcodeNameError,
		"example.com.evil.net": dns.RcodeNameError,
		"a.example.org":        dns.RcodeSuccess,
		"a.b.example.org":      dns.RcodeSuccess,
		"example.org":          dns.RcodeNameError,
		"evilexample.org":      dns.RcodeNameError,
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := ask(t, s, network, name, dns.TypeA)
			if reply.Rcode != want {
				t.Errorf("%s by %s: %s, want %s", name, network, dns.RcodeToString[reply.Rcode], dns.RcodeToString[want])
			}
			if want == dns.RcodeNameError && !strings.Contains(reply.String(), "domainAllowList") {
				t.Errorf("%s: the answer does not tell why:\n%s", name, reply)
			}
		}
	}
}

func TestAddressesAreKnownBeforeTheAnswerAndNoLongerThanIt(t *testing.T) {
	l := &learned{addrs: map[netip.Addr]time.Duration{}}
	s := serve(t, l, "example.com")
	reply := ask(t, s, "udp", "example.com", dns.TypeA)
	if len(reply.Answer) != 2 {
		t.Fatal(reply)
	}
	for _, rr := range reply.Answer {
		if ttl := time.Duration(rr.Header().Ttl) * time.Second; ttl < minTTL || ttl > maxTTL {
			t.Errorf("a TTL of %s", ttl)
		}
	}
	l.mu.Lock()
	if life := l.addrs[netip.MustParseAddr("192.0.2.7")]; life != minTTL+overtime || len(l.addrs) != 2 {
		t.Errorf("learned %v", l.addrs)
	}
	// What the firewall does not know, the sandbox is not told.
	l.fail = errors.New("no room")
	l.mu.Unlock()
	if reply := ask(t, s, "udp", "example.com", dns.TypeA); reply.Rcode != dns.RcodeServerFailure || len(reply.Answer) > 0 {
		t.Error(reply)
	}
}

func TestAddressesThatTheFirewallCannotKnowAreNotTold(t *testing.T) {
	s := serve(t, &learned{addrs: map[netip.Addr]time.Duration{}}, "example.com")
	for _, kind := range []uint16{dns.TypeAAAA, dns.TypeHTTPS} {
		if reply := ask(t, s, "udp", "example.com", kind); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) > 0 {
			t.Error(reply)
		}
	}
}

func TestAddressesOfIPv6AreToldAndKnownWhereTheSandboxHasIt(t *testing.T) {
	l := &learned{addrs: map[netip.Addr]time.Duration{}}
	s := serveWith(t, Config{Domains: []string{"example.com"}, Learn: l.learn, IPv6: true})
	for at := range loopbacks {
		for _, network := range []string{"udp", "tcp"} {
			reply := askAt(t, s, at, network, "example.com", dns.TypeAAAA)
			if len(reply.Answer) != 1 || reply.Answer[0].Header().Ttl != uint32(minTTL/time.Second) {
				t.Errorf("at %s by %s: %s", loopbacks[at], network, reply)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if life := l.addrs[netip.MustParseAddr("2001:db8::7")]; life != minTTL+overtime {
		t.Errorf("learned %v", l.addrs)
	}
	for name, kind := range map[string]uint16{"example.com": dns.TypeHTTPS, "example.org": dns.TypeAAAA} {
		if reply := ask(t, s, "udp", name, kind); len(reply.Answer) > 0 {
			t.Error(reply)
		}
	}
}

func TestWithoutDomainsEverythingIsPassedOn(t *testing.T) {
	s := serve(t, &learned{addrs: map[netip.Addr]time.Duration{}})
	reply := ask(t, s, "udp", "anything.test", dns.TypeA)
	if len(reply.Answer) != 2 || reply.Answer[0].Header().Ttl != 1 {
		t.Error(reply)
	}
}
