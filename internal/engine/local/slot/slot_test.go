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

	"github.com/opendaytona/daytona/internal/engine/local/slot/beyond"
)

func open(t *testing.T, ready int) *Pool {
	t.Helper()
	claim, err := instance.Claim("/run/daytona/instances", t.TempDir(), Busy)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(Config{Instance: claim.Index, Ready: ready, Log: slog.Default()}, nil)
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

// reaches tells whether a TCP connection from the slot succeeds.
func reaches(s *Slot, address string) bool {
	host, port, _ := net.SplitHostPort(address)
	_, err := in(s, fmt.Sprintf("timeout 1 bash -c 'exec 3<>/dev/tcp/%s/%s'", host, port))
	return err == nil
}

func TestASlotHasItsOwnRootAndAddress(t *testing.T) {
	p := open(t, 0)
	s := take(t, p)
	out, err := in(s, "id -u; cat /proc/self/uid_map; cat /sys/class/net/eth0/mtu 2>/dev/null; ip -4 -o addr show eth0; ip route")
	if err != nil {
		t.Fatal(out, err)
	}
	for _, want := range []string{"0\n", fmt.Sprint(s.HostID), s.Guest.String() + "/30", "default via " + s.Host.String()} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

func TestASlotReachesNeitherTheHostNorAnotherSlot(t *testing.T) {
	p := open(t, 0)
	one, two := take(t, p), take(t, p)

	everywhere, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	_, port, _ := net.SplitHostPort(everywhere.Addr().String())
	if c, err := net.DialTimeout("tcp", net.JoinHostPort(one.Host.String(), port), time.Second); err != nil {
		t.Fatal("the listener does not work: ", err)
	} else {
		c.Close()
	}
	hosts := []string{one.Host.String(), two.Host.String(), "169.254.169.254"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
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
		"python3", "-c", "import socket;s=socket.create_server(('0.0.0.0',7777));print(1,flush=True)\nwhile True:s.accept()")
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
	if reaches(one, two.Guest.String()+":7777") {
		t.Error("one sandbox reaches another")
	}
}

// outside is a network namespace beyond the host, reached through forwarding.
func outside(t *testing.T) string {
	t.Helper()
	const address = "198.18.77.2"
	name := beyond.Network(t, "dtout0", netip.MustParseAddr(address))
	server := exec.Command("ip", "netns", "exec", name, "python3", "-c",
		"import socket,threading\ndef echo():\n s=socket.create_server(('0.0.0.0',7778))\n c,a=s.accept()\n while True:c.send(c.recv(1))\n"+
			"threading.Thread(target=echo,daemon=True).start()\n"+
			"s=socket.create_server(('0.0.0.0',7777));print(1,flush=True)\nwhile True:c,a=s.accept();c.send((a[0]+'\\n').encode());c.close()")
	out, _ := server.StdoutPipe()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return address
}

func TestPoliciesDecideWhatIsReachedOutside(t *testing.T) {
	p := open(t, 0)
	s := take(t, p)
	there := outside(t)
	address := there + ":7777"

	out, err := in(s, "timeout 2 bash -c 'exec 3<>/dev/tcp/"+there+"/7777; cat <&3'")
	if err != nil || out != "198.18.77.1" {
		t.Fatalf("without a policy: %q, %v; want the host's address as the source", out, err)
	}
	for _, c := range []struct {
		name   string
		policy Policy
		want   bool
	}{
		{"blocked", Policy{BlockAll: true}, false},
		{"another network allowed", Policy{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, false},
		{"its network allowed", Policy{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.18.77.2/31")}}, true},
		{"only its port 53 allowed", Policy{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Resolvers: []netip.Addr{netip.MustParseAddr(there)}}, false},
		{"everything again", Policy{}, true},
	} {
		if err := p.Apply(s, c.policy); err != nil {
			t.Fatal(c.name, err)
		}
		if got := reaches(s, address); got != c.want {
			t.Errorf("%s: reached %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDomainsAreReachedAtTheAddressesThatWereLearned(t *testing.T) {
	p := open(t, 0)
	s := take(t, p)
	there := outside(t)
	address := there + ":7777"
	apply := func(policy Policy) {
		t.Helper()
		if err := errors.Join(p.Apply(s, policy), p.Cut(s, policy)); err != nil {
			t.Fatal(err)
		}
	}
	one := Policy{Domains: []string{"one.test"}}
	apply(one)
	if reaches(s, address) {
		t.Error("reached before it was learned")
	}
	learn := func(life time.Duration) {
		t.Helper()
		if err := p.Learn(s, []netip.Addr{netip.MustParseAddr(there), netip.MustParseAddr("203.0.113.9")}, life); err != nil {
			t.Fatal(err)
		}
	}
	learn(time.Minute)
	learn(time.Hour) // again, for longer
	if !reaches(s, address) {
		t.Fatal("not reached after it was learned")
	}
	// More domains keep what is known, also over a new table; others do not.
	more := Policy{Domains: []string{"two.test", "one.test"}}
	apply(more)
	if !reaches(s, address) {
		t.Error("not reached with another domain")
	}
	if err := p.fw.install(map[netip.Addr]Policy{s.Guest: more}); err != nil {
		t.Fatal(err)
	}
	if !reaches(s, address) {
		t.Error("not reached after another server has taken over")
	}
	apply(Policy{Domains: []string{"two.test"}})
	if reaches(s, address) {
		t.Error("reached without its domain")
	}
	learn(time.Second)
	if !reaches(s, address) {
		t.Error("not reached while it is fresh")
	}
	time.Sleep(2 * time.Second)
	if reaches(s, address) {
		t.Error("reached anew although it is not fresh")
	}
	apply(Policy{})
	if !reaches(s, address) {
		t.Error("not reached without a policy")
	}
}

func TestOpenConnectionsThatNoLongerPassAreCut(t *testing.T) {
	p := open(t, 0)
	s := take(t, p)
	there := outside(t)
	// It reads until the other side, which answers each byte, is gone.
	c := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "--setuid=0", "--setgid=0", "python3", "-c",
		"import socket,time\ns=socket.create_connection(('"+there+"',7778));s.settimeout(10)\nprint('open',flush=True)\nwhile True:\n s.send(b'x')\n if not s.recv(1): break\n time.sleep(.05)")
	c.ExtraFiles = []*os.File{s.User, s.Net}
	out, _ := c.StdoutPipe()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		t.Fatal("the connection ended by itself: ", err)
	case <-time.After(300 * time.Millisecond):
	}
	policy := Policy{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	if err := errors.Join(p.Apply(s, policy), p.Cut(s, policy)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
		_ = c.Process.Kill()
		t.Error("an open connection goes on against the policy")
	}
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
		_, err := Open(Config{Subnet: netip.PrefixFrom(used, 8), Log: slog.Default()}, nil)
		if err == nil || !strings.Contains(err.Error(), "choose another one") {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("this machine has no network")
}
