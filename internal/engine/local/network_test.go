package local

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/slot/testnet"
)

// The addresses of what outside makes, by the option of curl that takes them.
var there = map[string]netip.Addr{"-4": netip.MustParseAddr("198.18.78.2"), "-6": netip.MustParseAddr("fdb7:3d11:c04a:78::2")}

// outside is a web server beyond this machine, reached by forwarding only.
func outside(t *testing.T) {
	t.Helper()
	name := testnet.Network(t, "dtout1", there["-4"], there["-6"])
	page := t.TempDir()
	if err := os.WriteFile(filepath.Join(page, "index.html"), []byte("from outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("ip", "netns", "exec", name, "busybox", "httpd", "-f", "-p", "7777", "-h", page)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
}

// resolveOnLoopback makes this machine one whose only resolver is on its
// loopback; every name has the addresses of what is outside.
func resolveOnLoopback(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.77:53")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		if text := map[uint16]string{dns.TypeA: " 300 IN A " + there["-4"].String(), dns.TypeAAAA: " 300 IN AAAA " + there["-6"].String()}[q.Question[0].Qtype]; text != "" {
			rr, err := dns.NewRR(q.Question[0].Name + text)
			if err != nil {
				t.Error(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close() })
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.77\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := resolvConfs
	resolvConfs = []string{file}
	t.Cleanup(func() { resolvConfs = before })
}

func TestNetworkPolicyFollowsNamesAndChangesWhileTheSandboxRuns(t *testing.T) {
	outside(t)
	resolveOnLoopback(t)
	f := open(t, nil)
	s := f.create(nil)
	// The host is a name, or "" for the address.
	gets := func(what, host string, want bool) {
		t.Helper()
		for family, address := range there {
			url := "http://" + host + ":7777/index.html"
			if host == "" {
				url = "http://" + netip.AddrPortFrom(address, 7777).String() + "/index.html"
			}
			// In the sandbox's network, with this machine's own programs and
			// resolv.conf: whichever resolver is asked, ours answers.
			c := exec.Command("nsenter", "--net", "--target", strconv.Itoa(f.pid(s.ID)), "curl", family, "-sS", "--noproxy", "*", "--max-time", "4", url)
			out, _ := c.CombinedOutput()
			if got := strings.Contains(string(out), "from outside"); got != want {
				t.Errorf("%s: %s reached: %v, want %v: %s", what, url, got, want, out)
			}
		}
	}
	set := func(n engine.Network) {
		t.Helper()
		if err := f.SetNetwork(t.Context(), s.ID, n); err != nil {
			t.Fatal(err)
		}
	}
	gets("with a resolver on the loopback", "one.test", true)

	domains := engine.Network{Domains: []string{"one.test", "*.below.test"}}
	set(domains)
	gets("before its name was asked for", "", false)
	gets("an allowed domain", "one.test", true)
	gets("below an allowed domain", "a.b.below.test", true)
	gets("another domain", "two.test", false)
	// A resolver of IPv6 that it asks is ours too.
	asked, err := exec.Command("nsenter", "--net", "--target", strconv.Itoa(f.pid(s.ID)), "busybox", "nslookup", "-type=aaaa", "a.below.test", "2001:db8::53").CombinedOutput()
	if !strings.Contains(string(asked), there["-6"].String()) {
		t.Errorf("a resolver of IPv6 answers %v: %s", err, asked)
	}

	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	gets("what was known before a restart", "", true)
	gets("an allowed domain after a restart", "one.test", true)
	gets("another domain after a restart", "two.test", false)

	set(engine.Network{BlockAll: true, Domains: domains.Domains})
	gets("blocked", "one.test", false)
	gets("blocked", "", false)
	set(engine.Network{})
	gets("open again", "two.test", true)

	f.mu.Lock()
	servers := len(f.nameServers)
	f.mu.Unlock()
	if servers != 1 {
		t.Errorf("%d name servers for one sandbox", servers)
	}
	if err := f.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.nameServers) != 0 {
		t.Error("a name server outlives its sandbox")
	}
}
