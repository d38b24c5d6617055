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
	"github.com/opendaytona/daytona/internal/engine/local/slot/beyond"
)

// outside is a web server beyond this machine, reached by forwarding only.
func outside(t *testing.T) string {
	t.Helper()
	const address = "198.18.78.2"
	name := beyond.Network(t, "dtout1", netip.MustParseAddr(address))
	page := t.TempDir()
	if err := os.WriteFile(filepath.Join(page, "index.html"), []byte("from outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("ip", "netns", "exec", name, "busybox", "httpd", "-f", "-p", "7777", "-h", page)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	return address
}

// resolveOnLoopback makes this machine one whose only resolver is on its
// loopback; every name has the address.
func resolveOnLoopback(t *testing.T, address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.77:53")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			rr, err := dns.NewRR(q.Question[0].Name + " 300 IN A " + address)
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
	address := outside(t)
	resolveOnLoopback(t, address)
	f := open(t, nil)
	s := f.create(nil)
	gets := func(what, host string, want bool) {
		t.Helper()
		// In the sandbox's network, with this machine's own programs and
		// resolv.conf: whichever resolver is asked, ours answers.
		c := exec.Command("nsenter", "--net", "--target", strconv.Itoa(f.pid(s.ID)), "curl", "-sS", "--noproxy", "*", "--max-time", "4", "http://"+host+":7777/index.html")
		out, _ := c.CombinedOutput()
		if got := strings.Contains(string(out), "from outside"); got != want {
			t.Errorf("%s: http://%s reached: %v, want %v: %s", what, host, got, want, out)
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
	gets("before its name was asked for", address, false)
	gets("an allowed domain", "one.test", true)
	gets("below an allowed domain", "a.b.below.test", true)
	gets("another domain", "two.test", false)

	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	gets("what was known before a restart", address, true)
	gets("an allowed domain after a restart", "one.test", true)
	gets("another domain after a restart", "two.test", false)

	set(engine.Network{BlockAll: true, Domains: domains.Domains})
	gets("blocked", "one.test", false)
	gets("blocked", address, false)
	set(engine.Network{})
	gets("open again", "two.test", true)

	f.mu.Lock()
	servers := len(f.names)
	f.mu.Unlock()
	if servers != 1 {
		t.Errorf("%d name servers for one sandbox", servers)
	}
	if err := f.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.names) != 0 {
		t.Error("a name server outlives its sandbox")
	}
}
