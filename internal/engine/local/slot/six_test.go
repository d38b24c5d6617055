package slot

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func hostIP(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestASlotHasNoThirdAddress(t *testing.T) {
	outside(t)
	p := open(t, 0)
	one, two := take(t, p), take(t, p)
	block := Policy{BlockAll: true}
	if err := p.Apply(one, block); err != nil {
		t.Fatal(err)
	}
	// With another's address, one beside its own, or one of the world, it would
	// have another's policy or none.
	for _, a := range []netip.Addr{one.Host6, one.Host6.Prev(), one.Guest6.Next(), two.Guest6, netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("fd00::7")} {
		out, err := in(one, fmt.Sprintf("ip addr add %s/128 dev eth0 nodad && timeout 1 python3 -c \"import socket;socket.create_connection(('%s',7777),source_address=('%s',0))\"", a, there6, a))
		if err == nil || !strings.Contains(out, "Traceback") && out != "" {
			t.Errorf("from %s: %v: %s", a, err, out)
		}
	}
	if !reaches(two, at(there6)) {
		t.Error("the other slot does not reach what is outside")
	}
}

// What a hostile kernel may say to its neighbours: each message goes to the
// host's end and to all nodes of the link.
const neighbourly = `
import socket,struct,ipaddress,sys
s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_UNICAST_HOPS,255)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_MULTICAST_HOPS,255)
link=socket.if_nametoindex('eth0')
def send(to,message):
    s.sendto(message,(to,0,0,link))
def ip(a): return ipaddress.ip_address(a).packed
mac=bytes([2,0,0,0,0,7])
prefix=struct.pack('!BBBBIII',3,4,64,0xc0,3600,3600,0)+ip('2001:db8:bad::')
route=struct.pack('!BBBBI',24,3,64,0,3600)+ip('2001:db8:bad:1::')
ra=struct.pack('!BBHBBHII',134,0,0,64,0,1800,0,0)+bytes([1,1])+mac+prefix+route
`

func TestNeighboursFindEachOtherAndNothingElse(t *testing.T) {
	outside(t)
	p := open(t, 0)
	s := take(t, p)
	link := p.net.linkName(s.Index)
	before := hostIP(t, "-6", "route", "show", "dev", link) + hostIP(t, "-6", "addr", "show", "dev", link)
	// For the control the kernel is told to listen: only the rules are left.
	for _, key := range []string{"accept_ra", "accept_redirects"} {
		if err := SetSysctl(conf6+link+"/"+key, "2"); err != nil {
			t.Fatal(err)
		}
	}
	out, err := in(s, "python3 -c \""+neighbourly+`
for to in ('fe80::1','ff02::1','ff02::2','`+s.Host6.String()+`'):
    send(to,ra)
    send(to,struct.pack('!BBHI',137,0,0,0)+ip('fe80::2')+ip('2001:db8::1'))
"`)
	if err != nil {
		t.Fatal(out, err)
	}
	// Solicitations from many addresses would each be a neighbour.
	out, err = in(s, "ip link set eth0 up; for i in $(seq 40); do ip addr add fe80::77:$i/64 dev eth0 nodad; ip addr add 2001:db8:1::$i/64 dev eth0 nodad; done; python3 -c \""+neighbourly+`
for i in range(1,41):
    for a in ('fe80::77:%d'%i,'2001:db8:1::%d'%i):
        s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6)
        s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_UNICAST_HOPS,255)
        s.bind((a,0,0,link))
        send('fe80::1',struct.pack('!BBHI',135,0,0,0)+ip('fe80::1')+bytes([1,1])+mac)
"`)
	if err != nil {
		t.Fatal(out, err)
	}
	if !reaches(s, at(there6)) {
		t.Error("the two ends do not find each other")
	}
	time.Sleep(100 * time.Millisecond)
	if after := hostIP(t, "-6", "route", "show", "dev", link) + hostIP(t, "-6", "addr", "show", "dev", link); after != before {
		t.Errorf("the host has learned from a sandbox:\n%s\nbefore:\n%s", after, before)
	}
	if n := strings.Count(hostIP(t, "-6", "neigh", "show", "dev", link), "\n"); n > 2 {
		t.Errorf("the host has %d neighbours on the link, want the guest's two addresses at most", n)
	}
}

// A sandbox that knows of a connection of the host's could say that its packets
// are too big on their way.
func TestTheHostBelievesNoErrorsOfASandboxAboutItsConnections(t *testing.T) {
	outside(t)
	p := open(t, 0)
	s := take(t, p)
	for _, c := range []struct{ to, error string }{
		{there.String(), "import socket;m=bytes([3,4,0,0,0,0,2,38])+bytes([0x45,0,0,32,0,0,0,0,64,17,0,0])+socket.inet_aton(src)+socket.inet_aton(dst)+udp\n" +
			"x=sum(int.from_bytes((m+b'\\0')[i:i+2],'big') for i in range(0,len(m),2))\nwhile x>>16:x=(x&0xffff)+(x>>16)\n" +
			"m=m[:2]+(x^0xffff).to_bytes(2,'big')+m[4:]\nsocket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_ICMP).sendto(m,(src,0))"},
		{there6.String(), "import socket;m=bytes([2,0,0,0,0,0,5,0])+bytes([0x60,0,0,0,0,12,17,64])+socket.inet_pton(10,src)+socket.inet_pton(10,dst)+udp\n" +
			"socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6).sendto(m,(src,0))"},
	} {
		conn, err := net.Dial("udp", net.JoinHostPort(c.to, "7777"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("data")); err != nil {
			t.Fatal(err)
		}
		local := conn.LocalAddr().(*net.UDPAddr)
		out, err := in(s, fmt.Sprintf("python3 -c \"src,dst,udp='%s','%s',%d .to_bytes(2,'big')+(7777).to_bytes(2,'big')+bytes([0,12,0,0])+b'data'\n%s\"", local.IP, c.to, local.Port, c.error))
		if err != nil {
			t.Fatal(out, err)
		}
		time.Sleep(100 * time.Millisecond)
		if route := hostIP(t, "route", "get", c.to); strings.Contains(route, "mtu") {
			t.Errorf("the host has believed a sandbox: %s", route)
		}
	}
}

func TestWithoutIPv6ASlotHasNone(t *testing.T) {
	outside(t)
	p := openWith(t, Config{NoIPv6: true})
	s := take(t, p)
	out, err := in(s, "ip -6 addr show dev eth0 scope global; ip -6 route show default")
	if err != nil || out != "" || s.Guest6.IsValid() {
		t.Fatalf("%v: %s", err, out)
	}
	if !reaches(s, at(there)) {
		t.Error("IPv4 does not work")
	}
	link := p.net.linkName(s.Index)
	if value, err := Sysctl(conf6 + link + "/disable_ipv6"); err != nil || value != "1" {
		t.Errorf("IPv6 of %s is disabled: %q, %v", link, value, err)
	}
	// Nor when it takes one itself, and the host's end had IPv6.
	if err := SetSysctl(conf6+link+"/disable_ipv6", "0"); err != nil {
		t.Fatal(err)
	}
	hostIP(t, "addr", "add", p.net.host6(s.Index).String()+"/127", "dev", link, "nodad")
	out, err = in(s, fmt.Sprintf("ip addr add %s/127 dev eth0 nodad; ip -6 route add default via %s; timeout 1 bash -c 'exec 3<>/dev/tcp/%s/7777'", p.net.guest6(s.Index), p.net.host6(s.Index), there6))
	if err == nil || out != "" {
		t.Errorf("it reaches what is outside: %v: %s", err, out)
	}
}

func TestSlotsGetIPv6WhenTheMachineDoes(t *testing.T) {
	p := open(t, 2)
	ready := func(with6 bool, patience time.Duration) bool {
		t.Helper()
		for end := time.Now().Add(patience); time.Now().Before(end); {
			p.mu.Lock()
			n := 0
			for _, s := range p.ready {
				if s.Guest6.IsValid() == with6 {
					n++
				}
			}
			p.mu.Unlock()
			if n == 2 {
				return true
			}
			time.Sleep(20 * time.Millisecond)
		}
		return false
	}
	// As on a machine that has had no router's advertisement yet. Tests beside
	// this one make routes as well, and a slot may be in the making.
	without := false
	for end := time.Now().Add(30 * time.Second); !without && time.Now().Before(end); {
		p.six.Store(false)
		if err := p.freeReady(); err != nil {
			t.Fatal(err)
		}
		p.wantSlots()
		without = ready(false, time.Second)
	}
	if !without {
		t.Fatal("there are no two slots ready without IPv6")
	}
	outside(t)
	if !ready(true, 30*time.Second) {
		t.Fatal("there are no two slots ready with IPv6")
	}
	s := take(t, p)
	for range 5 { // the pool is told of the route after it is there
		if reaches(s, at(there6)) {
			return
		}
	}
	t.Error("nothing is reached by the new route")
}

func TestASubnetOfIPv6InUseIsRefusedWhenItWasAskedFor(t *testing.T) {
	hostIP(t, "-6", "route", "add", "fdb7:3d12:1::/64", "dev", "lo")
	t.Cleanup(func() { hostIP(t, "-6", "route", "del", "fdb7:3d12:1::/64", "dev", "lo") })
	for subnet, says := range map[string]string{"fdb7:3d12::/32": "choose another one", "fdb7:3d12:2::/64": "/60 or shorter", "10.0.0.0/8": "/60 or shorter"} {
		if _, err := newNetwork(Config{Subnet: DefaultSubnet, Subnet6: netip.MustParsePrefix(subnet), Log: slog.Default()}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", subnet, err)
		}
	}
	if n, err := newNetwork(Config{Subnet: DefaultSubnet, Subnet6: netip.MustParsePrefix("fdb7:3d12:2::/60"), Log: slog.Default()}); err != nil || !n.with6 {
		t.Error(err)
	}
}

func TestSlotsOfServersHaveDifferentAddresses(t *testing.T) {
	seen := map[netip.Addr]string{}
	for instance := range 16 {
		n := network{instance: instance, mtu: 1500}
		if err := n.prepare6(Config{NoIPv6: true}); err != nil {
			t.Fatal(err)
		}
		for _, index := range []int{0, 1, Slots - 1} {
			for _, a := range []netip.Addr{n.host6(index), n.guest6(index)} {
				if other := seen[a]; other != "" || !DefaultSubnet6.Contains(a) {
					t.Errorf("%s of %d/%d is %s too", a, instance, index, other)
				}
				seen[a] = fmt.Sprintf("%d/%d", instance, index)
			}
			if link := netip.PrefixFrom(n.host6(index), linkBits6).Masked(); !link.Contains(n.guest6(index)) {
				t.Errorf("%s is not on the link of %s", n.guest6(index), n.host6(index))
			}
		}
	}
}

func TestTheServerFetchesFromNoAddressThatSandboxesMayNotReach(t *testing.T) {
	p := open(t, 0)
	refused := []string{
		"127.0.0.1", "169.254.169.254", "100.100.100.200", "224.0.0.1", "0.0.0.0", p.net.guest(7).String(),
		"::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254",
		"64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:7f00:1::1", p.net.guest6(7).String(), p.net.host6(7).String(),
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		refused = append(refused, a.(*net.IPNet).IP.String())
	}
	for _, a := range refused {
		if p.CheckReach(netip.MustParseAddr(a)) == nil {
			t.Errorf("%s is reached", a)
		}
	}
	for _, a := range []string{"192.0.2.200", "10.1.2.3", "2001:db8::1", "fd12::1", "fec0::1"} {
		if err := p.CheckReach(netip.MustParseAddr(a)); err != nil {
			t.Error(err)
		}
	}
}

// On a kernel that forwards for all links only, each of them goes on as a host's.
func TestForwardingLeavesWhatRoutersSay(t *testing.T) {
	user, netns, err := newNamespaces(firstID)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	defer netns.Close()
	router, routerNet, err := newNamespaces(firstID + IDs)
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	defer routerNet.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		run := func(command string) string {
			c := exec.Command("sh", "-ec", command)
			c.ExtraFiles = []*os.File{routerNet}
			out, err := c.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
			return string(out)
		}
		// Until it has arrived: a new link takes its time.
		learned := func(prefix string) (all string) {
			for range 20 {
				run("nsenter --net=/proc/self/fd/3 python3 -c \"" + strings.ReplaceAll(neighbourly, "2001:db8:bad::", prefix+":") + "\ntry:send('ff02::1',ra)\nexcept OSError as e:print(e)\n\"; sleep 0.1")
				if all = run("ip -6 route; ip -6 -o addr show dev up0 scope global"); strings.Contains(all, prefix) {
					break
				}
			}
			return all
		}
		run("ip link add up0 type veth peer name eth0 netns /proc/self/fd/3; nsenter --net=/proc/self/fd/3 ip addr add fe80::99/64 dev eth0 nodad;" +
			"nsenter --net=/proc/self/fd/3 ip link set eth0 up addrgenmode none; echo 0 >/proc/sys/net/ipv6/conf/up0/accept_dad; ip link set up0 up addrgenmode eui64")
		before := learned("2001:db8:1:")
		if !strings.Contains(before, "default via fe80::99") || !strings.Contains(before, "2001:db8:1:") {
			t.Errorf("before: %s", before)
		}
		if err := forwardAll6(); err != nil {
			t.Error(err)
		}
		after := learned("2001:db8:2:")
		for _, want := range []string{"default via fe80::99", "2001:db8:1:", "2001:db8:2:"} {
			if !strings.Contains(after, want) {
				t.Errorf("after: no %s in %s", want, after)
			}
		}
		for key, want := range map[string]string{"all/forwarding": "1", "up0/forwarding": "0", "default/forwarding": "0", "up0/accept_ra": "1", "default/accept_ra": "1"} {
			if value, err := Sysctl(conf6 + key); err != nil || value != want {
				t.Errorf("%s is %q, %v, want %s", key, value, err, want)
			}
		}
	}()
	<-done
}
