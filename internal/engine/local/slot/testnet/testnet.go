// Package testnet makes a network that is not this machine's and is reached by
// forwarding only, for tests of what sandboxes reach. It imports nothing of the
// house.
package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// alone waits until no other test on this machine has such a network, which an
// abstract socket stands for: links, routes and what is the default of the
// machine are there once.
func alone(t testing.TB) {
	t.Helper()
	for {
		l, err := net.Listen("unix", "@daytona-beyond")
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("another test has a network of this kind")
		}
	}
}

// Network makes a network namespace with the addresses, behind a link of that
// name to the addresses before them. For IPv6 the link becomes the machine's last
// default route, so that a machine without a better one has IPv6 as long as the
// test runs; take unique local addresses, to which programs prefer any IPv4. It
// returns the namespace's name and goes with the test.
func Network(t testing.TB, link string, addresses ...netip.Addr) (namespace string) {
	t.Helper()
	alone(t)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	namespace = fmt.Sprintf("%s-%d", link, os.Getpid())
	run("netns", "add", namespace)
	t.Cleanup(func() { run("netns", "del", namespace) })
	run("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
	t.Cleanup(func() { run("link", "del", link) })
	run("link", "set", link, "up")
	run("-n", namespace, "link", "set", "eth0", "up")
	run("-n", namespace, "link", "set", "lo", "up")
	for _, a := range addresses {
		if a.Is4() {
			run("addr", "add", a.Prev().String()+"/30", "dev", link)
			run("-n", namespace, "addr", "add", a.String()+"/30", "dev", "eth0")
			continue
		}
		run("addr", "add", a.Prev().String()+"/126", "dev", link, "nodad")
		run("-n", namespace, "addr", "add", a.String()+"/126", "dev", "eth0", "nodad")
		// What else the machine sends there is refused at once.
		run("-n", namespace, "-6", "route", "add", "unreachable", "default")
		run("netns", "exec", namespace, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
		run("-6", "route", "add", "default", "via", a.String(), "dev", link, "metric", "2000000000")
	}
	return namespace
}
