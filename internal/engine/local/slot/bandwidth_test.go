package slot

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine/local/slot/testnet"
)

// measure runs both ways of a transfer: the receiver prints how many bits it got
// in each second after the first half, the sender sends until it is cut off.
const measure = `
import socket, sys, time
listening, address, sends = sys.argv[1] == 'listen', sys.argv[2], sys.argv[3] == 'send'
if listening:
    s = socket.create_server((address, 7790)); print('ready', flush=True); c, _ = s.accept()
else:
    c = socket.create_connection((address, 7790), 5)
if sends:
    try:
        while True: c.sendall(bytes(1 << 16))
    except OSError: sys.exit()
c.settimeout(5)
begin = time.monotonic(); got = first = 0
while (now := time.monotonic()) < begin + 2.5:
    n = len(c.recv(1 << 16))
    if now > begin + .5:
        first = first or now
        got += n
print(int(8 * got / (now - first)), flush=True)
`

func TestBandwidthIsLimitedBothWays(t *testing.T) {
	p := open(t, 0)
	const limit = 80_000_000
	p.Bandwidth, p.net.bandwidth, p.fw.net.bandwidth = limit, limit, limit
	if err := p.fw.install(nil); err != nil {
		t.Fatal(err)
	}
	s := take(t, p)
	const address = "198.18.79.2"
	name := testnet.Network(t, "dtout2", netip.MustParseAddr(address))
	rate := func(outside, inside string) int {
		t.Helper()
		server := exec.Command("ip", "netns", "exec", name, "python3", "-c", measure, "listen", address, outside)
		out, err := server.StdoutPipe()
		if err == nil {
			err = server.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan() // ready
		client := exec.Command("nsenter", "--user=/proc/self/fd/3", "--net=/proc/self/fd/4", "--setuid=0", "--setgid=0", "python3", "-c", measure, "connect", address, inside)
		client.ExtraFiles = []*os.File{s.User, s.Net}
		client.Stderr = os.Stderr
		got, err := client.Output()
		if err != nil {
			t.Fatal(err)
		}
		if inside == "send" {
			lines.Scan()
			got = []byte(lines.Text())
		}
		if err := server.Wait(); err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(got)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, way := range map[string][2]string{"receives": {"send", "receive"}, "sends": {"receive", "send"}} {
		got := rate(way[0], way[1])
		t.Logf("it %s %.1f Mbit/s", name, float64(got)/1e6)
		if got < limit*3/4 || got > limit*5/4 {
			t.Errorf("it %s %d bits per second, not %d", name, got, limit)
		}
	}
	// Another server says otherwise, and what runs follows.
	p.Bandwidth, p.net.bandwidth, p.fw.net.bandwidth = 0, 0, 0
	if err := p.fw.install(nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.shape(s.Index); err != nil {
			t.Fatal(err)
		}
	}
	for name, way := range map[string][2]string{"receives": {"send", "receive"}, "sends": {"receive", "send"}} {
		if got := rate(way[0], way[1]); got < 2*limit {
			t.Errorf("without a limit it %s %d bits per second", name, got)
		}
	}
	if out, err := exec.Command("ip", "-d", "link", "show", p.net.linkName(s.Index)).Output(); err != nil || strings.Contains(string(out), "tbf") {
		t.Errorf("%s %v", out, err)
	}
}
