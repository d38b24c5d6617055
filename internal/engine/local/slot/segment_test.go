package slot

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine/local/slot/testnet"
)

// transfer sends 4 MiB there and back and prints the largest segment that the
// end sends.
const transfer = `
import socket, sys
def read(c):
    n = 4 << 20
    while n > 0: n -= len(c.recv(n)) or sys.exit('the connection ended')
if sys.argv[1] == 'listen':
    s = socket.create_server(('::', 7791), family=socket.AF_INET6, dualstack_ipv6=True); print('ready', flush=True)
    for _ in range(2):
        c, _ = s.accept(); c.settimeout(10); read(c); c.sendall(bytes(4 << 20))
        print(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
else:
    c = socket.create_connection((sys.argv[2], 7791), 5); c.settimeout(10)
    first = c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) # before it could learn by its losses
    c.sendall(bytes(4 << 20)); read(c); print(first)
`

// A container's network has an MTU of its own, and what tells it of a smaller
// one on the way is often lost.
func TestSegmentsFitASmallerMTUOnTheWay(t *testing.T) {
	p := open(t, 0)
	s := take(t, p)
	four, six := netip.MustParseAddr("198.18.80.2"), netip.MustParseAddr("fdb7:3d11:c04a:80::2")
	name := testnet.Network(t, "dtout3", four, six)
	if out, err := exec.Command("ip", "link", "set", "dtout3", "mtu", "1300").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := exec.Command("ip", "netns", "exec", name, "python3", "-c", transfer, "listen")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	lines := bufio.NewScanner(out)
	lines.Scan() // ready
	for address, want := range map[netip.Addr]string{four: "1248", six: "1228"} {
		client := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "--setuid=0", "--setgid=0", "python3", "-c", transfer, "connect", address.String())
		client.ExtraFiles = []*os.File{s.User, s.Net}
		client.Stderr = os.Stderr
		got, err := client.Output()
		if err != nil {
			t.Fatal(err)
		}
		lines.Scan()
		if inside := strings.TrimSpace(string(got)); inside != want || lines.Text() != want {
			t.Errorf("%s: segments of %s bytes go there and of %s back, not %s", address, inside, lines.Text(), want)
		}
	}
}
