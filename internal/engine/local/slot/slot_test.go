package slot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/engine/local/instance"

	"github.com/opendaytona/daytona/internal/engine/local/slot/testnet"
)

func open(t *testing.T, ready int) *Pool {
	t.Helper()
	return openWith(t, Config{Ready: ready})
}

func openWith(t *testing.T, config Config) *Pool {
	t.Helper()
	claim, err := instance.Claim("/run/daytona/instances", t.TempDir(), Busy)
	if err != nil {
		t.Fatal(err)
	}
	config.Instance, config.Log = claim.Index, slog.Default()
	p, _, err := Open(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(true); err != nil {
			t.Error(err)
		}
		if Busy(claim.Index) {
			t.Error("links are left")
		}
		if err := claim.Release(true); err != nil {
			t.Error(err)
		}
	})
	return p
}

func take(t *testing.T, p *Pool) *Slot {
	t.Helper()
	s, err := p.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Release(s); err != nil {
			t.Error(err)
		}
	})
	return s
}

// in runs a command as root of the slot's namespaces.
func in(s *Slot, command string) (string, error) {
	c := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "--setuid=0", "--setgid=0", "sh", "-c", command)
	c.ExtraFiles = []*os.File{s.User, s.Net}
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// reaches tells whether a TCP connection from the slot succeeds within a second,
// in which the start of a program on a busy machine does not count.
func reaches(s *Slot, address string) bool {
	host, port, _ := net.SplitHostPort(address)
	_, err := in(s, fmt.Sprintf("python3 -c 'import socket; socket.create_connection((\"%s\", %s), 1)'", host, port))
	return err == nil
}

func TestASlotHasItsOwnRootAndAddress(t *testing.T) {
	outside(t)
	p := open(t, 0)
	s := take(t, p)
	out, err := in(s, "id -u; cat /proc/self/uid_map; cat /sys/class/net/eth0/mtu 2>/dev/null; ip -o addr show eth0; ip route; ip -6 route")
	if err != nil {
		t.Fatal(out, err)
	}
	for _, want := range []string{"0\n", fmt.Sprint(s.HostID), s.Guest.String() + "/30", "default via " + s.Host.String(), s.Guest6.String() + "/127", "default via " + s.Host6.String()} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "tentative") {
		t.Errorf("an address is not usable at once:\n%s", out)
	}
}

func TestASlotReachesNeitherTheHostNorAnotherSlot(t *testing.T) {
	outside(t)
	p := open(t, 0)
	one, two := take(t, p), take(t, p)

	everywhere, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	_, port, _ := net.SplitHostPort(everywhere.Addr().String())
	hosts := []string{one.Host.String(), two.Host.String(), one.Host6.String(), two.Host6.String()}
	for _, host := range hosts {
		err := errors.New("not tried")
		for range 20 { // the kernel's worker makes the routes to new IPv6 addresses
			var c net.Conn
			if c, err = net.DialTimeout("tcp", net.JoinHostPort(host, port), 200*time.Millisecond); err == nil {
				c.Close()
				break
			}
		}
		if err != nil {
			t.Fatal("the listener does not work: ", err)
		}
	}
	hosts = append(hosts, "169.254.169.254", "fd00:ec2::254", hostLocal.String()+"%eth0", "::ffff:"+one.Host.String())
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			hosts = append(hosts, ip.IP.String())
		}
	}
	var tries sync.WaitGroup
	for _, host := range hosts {
		tries.Go(func() {
			if reaches(one, net.JoinHostPort(host, port)) {
				t.Errorf("the sandbox reaches %s", host)
			}
		})
	}
	tries.Wait()

	inside := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "--setuid=0", "--setgid=0",
		"python3", "-c", "import socket;s=socket.create_server(('::',7777),family=socket.AF_INET6,dualstack_ipv6=True);print(1,flush=True)\nwhile True:s.accept()")
	inside.ExtraFiles = []*os.File{two.User, two.Net}
	out, _ := inside.StdoutPipe()
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inside.Process.Kill(); _ = inside.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if !reaches(two, "127.0.0.1:7777") {
		t.Fatal("the other slot's listener does not work")
	}
	for _, address := range []string{two.Guest.String(), two.Guest6.String()} {
		if reaches(one, net.JoinHostPort(address, "7777")) {
			t.Errorf("one sandbox reaches another at %s", address)
		}
	}
}

// The addresses of what outside makes.
var (
	there  = netip.MustParseAddr("198.18.77.2")
	there6 = netip.MustParseAddr("fdb7:3d11:c04a:77::2")
)

// outside is a network namespace beyond the host, reached through forwarding. It
// tells callers on port 7777 their address, and answers each byte on 7778.
func outside(t *testing.T) {
	t.Helper()
	name := testnet.Network(t, "dtout0", there, there6)
	server := exec.Command("ip", "netns", "exec", name, "python3", "-c",
		"import socket,threading\ndef listen(port):return socket.create_server(('::',port),family=socket.AF_INET6,dualstack_ipv6=True)\n"+
			"def each(c):\n while True:c.send(c.recv(1))\n"+
			"def echo(s):\n while True:threading.Thread(target=each,args=[s.accept()[0]],daemon=True).start()\n"+
			"threading.Thread(target=echo,args=[listen(7778)],daemon=True).start()\n"+
			"s=listen(7777);print(1,flush=True)\nwhile True:c,a=s.accept();c.send((a[0].removeprefix('::ffff:')+'\\n').encode());c.close()")
	out, _ := server.StdoutPipe()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func at(a netip.Addr) string { return netip.AddrPortFrom(a, 7777).String() }

func prefixes(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestPoliciesDecideWhatIsReachedOutside(t *testing.T) {
	outside(t)
	p := open(t, 0)
	s := take(t, p)
	for _, a := range []netip.Addr{there, there6} {
		out, err := in(s, "timeout 2 bash -c 'exec 3<>/dev/tcp/"+a.String()+"/7777; cat <&3'")
		if err != nil || out != a.Prev().String() {
			t.Fatalf("without a policy: %q, %v; want the host's address as the source", out, err)
		}
	}
	for _, c := range []struct {
		name      string
		policy    Policy
		four, six bool
	}{
		{"blocked", Policy{BlockAll: true}, false, false},
		{"another network allowed", Policy{Allow: prefixes("203.0.113.0/24")}, false, false},
		{"its network allowed", Policy{Allow: prefixes("203.0.113.0/24", "198.18.77.2/31")}, true, false},
		{"all of IPv4 allowed", Policy{Allow: prefixes("0.0.0.0/0")}, true, false},
		{"its network of IPv6 allowed", Policy{Allow: prefixes("fdb7:3d11:c04a:77::2/127", "2001:db8::/32")}, false, true},
		{"another network of IPv6 allowed", Policy{Allow: prefixes("fdb7:3d11:c04a:78::/64")}, false, false},
		{"all of IPv6 allowed", Policy{Allow: prefixes("::/0")}, false, true},
		{"both allowed", Policy{Allow: prefixes("198.18.0.0/15", "fd00::/8")}, true, true},
		{"only its port 53 allowed", Policy{Allow: prefixes("203.0.113.0/24"), Resolvers: []netip.Addr{there, there6}}, false, false},
		{"everything again", Policy{}, true, true},
	} {
		if err := p.Apply(s, c.policy); err != nil {
			t.Fatal(c.name, err)
		}
		if four, six := reaches(s, at(there)), reaches(s, at(there6)); four != c.four || six != c.six {
			t.Errorf("%s: reached by IPv4 %v, want %v, by IPv6 %v, want %v", c.name, four, c.four, six, c.six)
		}
	}
}

func TestDomainsAreReachedAtTheAddressesThatWereLearned(t *testing.T) {
	outside(t)
	p := open(t, 0)
	s := take(t, p)
	apply := func(policy Policy) {
		t.Helper()
		if err := errors.Join(p.Apply(s, policy), p.Cut(s, policy)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(reached bool, when string) {
		t.Helper()
		for _, a := range []netip.Addr{there, there6} {
			if got := reaches(s, at(a)); got != reached {
				t.Errorf("%s: %s reached: %v", when, a, got)
			}
		}
	}
	apply(Policy{Domains: []string{"one.test"}})
	want(false, "before it was learned")
	learn := func(life time.Duration, also ...netip.Addr) {
		t.Helper()
		if err := p.Learn(s, append(also, netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::9")), life); err != nil {
			t.Fatal(err)
		}
	}
	learn(time.Minute, there, there6)
	learn(time.Hour, there, there6) // again, for longer
	want(true, "after it was learned")
	// More domains keep what is known, also over a new table; others do not.
	more := Policy{Domains: []string{"two.test", "one.test"}}
	apply(more)
	want(true, "with another domain")
	if err := p.fw.install(map[int]Policy{s.Index: more}); err != nil {
		t.Fatal(err)
	}
	want(true, "after another server has taken over")
	apply(Policy{Domains: []string{"two.test"}})
	want(false, "without its domain")
	learn(time.Second, there, there6)
	want(true, "while it is fresh")
	time.Sleep(2 * time.Second)
	want(false, "anew although it is not fresh")
	learn(time.Minute, there6)
	if reaches(s, at(there)) || !reaches(s, at(there6)) {
		t.Error("one address of it makes another known")
	}
	apply(Policy{})
	want(true, "without a policy")
}

func TestOpenConnectionsThatNoLongerPassAreCut(t *testing.T) {
	outside(t)
	p := open(t, 0)
	s := take(t, p)
	// It reads until the other side, which answers each byte, is gone.
	talk := func(a netip.Addr) (ended chan error) {
		t.Helper()
		c := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "--setuid=0", "--setgid=0", "python3", "-c",
			"import socket,time\ns=socket.create_connection(('"+a.String()+"',7778));s.settimeout(10)\nprint('open',flush=True)\nwhile True:\n s.send(b'x')\n if not s.recv(1): break\n time.sleep(.05)")
		c.ExtraFiles = []*os.File{s.User, s.Net}
		out, _ := c.StdoutPipe()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		ended = make(chan error, 1)
		go func() { ended <- c.Wait() }()
		t.Cleanup(func() { _ = c.Process.Kill() })
		return ended
	}
	goesOn := func(ended chan error) {
		t.Helper()
		select {
		case err := <-ended:
			t.Fatal("a connection ended that may go on: ", err)
		case <-time.After(300 * time.Millisecond):
		}
	}
	isCut := func(ended chan error) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(3 * time.Second):
			t.Error("an open connection goes on against the policy")
		}
	}
	apply := func(allow ...string) {
		t.Helper()
		policy := Policy{Allow: prefixes(allow...)}
		if err := errors.Join(p.Apply(s, policy), p.Cut(s, policy)); err != nil {
			t.Fatal(err)
		}
	}
	four, six := talk(there), talk(there6)
	goesOn(four)
	goesOn(six)
	apply("fd00::/8")
	isCut(four)
	goesOn(six)
	apply("203.0.113.0/24")
	isCut(six)
}

func TestThePoolKeepsSlotsReadyAndFreesThem(t *testing.T) {
	p := open(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		p.mu.Lock()
		n := len(p.ready)
		p.mu.Unlock()
		if n == 3 {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d slots are ready, want 3", n)
		case <-time.After(5 * time.Millisecond):
		}
	}
	seen := map[int]bool{}
	for range 5 {
		s := take(t, p)
		if seen[s.Index] {
			t.Fatalf("slot %d was handed out twice", s.Index)
		}
		seen[s.Index] = true
	}
}

func TestASubnetInUseIsRefused(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.To4() == nil || ip.IP.IsLoopback() {
			continue
		}
		used, _ := netip.AddrFromSlice(ip.IP.To4())
		_, err := newNetwork(Config{Subnet: netip.PrefixFrom(used, 8), Log: slog.Default()})
		if err == nil || !strings.Contains(err.Error(), "choose another one") {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("this machine has no network")
}

func TestAPoolFillsItselfAfterAFailure(t *testing.T) {
	p := open(t, 2)
	ready := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.ready)
	}
	soon := func(n int) bool {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if ready() == n {
				return true
			}
		}
		return false
	}
	if !soon(2) {
		t.Fatal("the pool is not filled")
	}
	p.mu.Lock()
	before := p.used
	for i := range p.used {
		p.used[i] = true // none can be made
	}
	p.mu.Unlock()
	take(t, p)
	take(t, p)
	time.Sleep(300 * time.Millisecond) // in which it has failed
	p.mu.Lock()
	p.used = before
	p.mu.Unlock()
	if !soon(2) {
		t.Errorf("%d slots are ready, nobody took one since the failure", ready())
	}
}
