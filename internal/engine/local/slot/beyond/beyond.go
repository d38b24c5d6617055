// Package beyond makes a network that is not this machine's and is reached by
// forwarding only, for tests of what sandboxes reach. It imports nothing of the
// house.
package beyond

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
)

// Network makes a network namespace with one address, behind a link of that name
// to the address before it. It returns the namespace's name and goes with the
// test.
func Network(t testing.TB, link string, address netip.Addr) (namespace string) {
	t.Helper()
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
	run("addr", "add", address.Prev().String()+"/30", "dev", link)
	run("link", "set", link, "up")
	run("-n", namespace, "addr", "add", address.String()+"/30", "dev", "eth0")
	run("-n", namespace, "link", "set", "eth0", "up")
	return namespace
}
