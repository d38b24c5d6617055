package nameserver

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzQuery looks for a query that is passed on and is not for one name of an
// allowed domain, or whose answer is for another question.
func FuzzQuery(f *testing.F) {
	pack := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(pack(new(dns.Msg).SetQuestion("example.com.", dns.TypeA)))
	f.Add(pack(new(dns.Msg).SetQuestion("example.com.evil.org.", dns.TypeAAAA)))
	f.Add(pack(new(dns.Msg).SetQuestion(`evil\.example.com.`, dns.TypeTXT).SetEdns0(4096, true)))
	f.Add(pack(new(dns.Msg).SetAxfr("example.com.")))
	f.Add(pack(new(dns.Msg).SetNotify("example.com.")))
	f.Fuzz(func(t *testing.T, packet []byte) {
		q := new(dns.Msg)
		if q.Unpack(packet) != nil {
			return // the library answers
		}
		asked := false
		s := &Server{config: Config{
			Domains: []string{"example.com"}, Log: slog.New(slog.DiscardHandler),
			Learn:     func([]netip.Addr, time.Duration) error { return nil },
			Upstreams: func() []netip.AddrPort { asked = true; return nil },
		}}
		reply := s.reply(q)
		if reply.Id != q.Id || !reply.Response {
			t.Fatalf("%v is answered by %v", q, reply)
		}
		if asked && (len(q.Question) != 1 || !dns.IsSubDomain("example.com.", dns.CanonicalName(q.Question[0].Name))) {
			t.Fatalf("%v was passed on", q)
		}
		if _, err := reply.Pack(); err != nil && len(q.Question) == 1 {
			t.Fatalf("the answer to %v cannot be sent: %v", q, err)
		}
	})
}
