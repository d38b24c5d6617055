package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/slot/testnet"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// The addresses of what outside makes.
var (
	there  = netip.MustParseAddr("198.18.80.2")
	there6 = netip.MustParseAddr("fdb7:3d11:c04a:80::2")
)

// outside is a web server beyond this machine with a page of that text.
func outside(t *testing.T, text string) {
	t.Helper()
	name := testnet.Network(t, "dtout3", there, there6)
	page := t.TempDir()
	if err := os.WriteFile(filepath.Join(page, "index.html"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("ip", "netns", "exec", name, "busybox", "httpd", "-f", "-p", "80", "-h", page)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
}

// fetch is the command for it; the images' wget knows no addresses of IPv6.
func fetch(a netip.Addr) string {
	return "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 3 " + a.String() + " 80 2>&1 | tail -n 1"
}

func pageAt(a netip.Addr) string {
	return "http://" + netip.AddrPortFrom(a, 80).String() + "/index.html"
}

func TestSandboxesAndBuildsHaveIPv6WithTheRulesOfIPv4(t *testing.T) {
	serve.LeavesNothing(t)
	const text = "from outside"
	outside(t, text)
	s := serve.New(t)
	s.Snapshot("plain", box)
	b := s.Sandbox("plain")
	gets := func(when string, four, six bool) {
		t.Helper()
		for a, want := range map[netip.Addr]bool{there: four, there6: six} {
			said := s.Output(b.ID, fetch(a))
			if got := strings.Contains(said, text); got != want {
				t.Errorf("%s: %s reached: %v, want %v: %s", when, a, got, want, said)
			}
		}
	}
	set := func(n daytona.NetworkSettings) {
		t.Helper()
		if err := b.UpdateNetworkSettings(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	allow := func(list string) daytona.NetworkSettings {
		open := false
		return daytona.NetworkSettings{BlockAll: &open, NetworkAllowList: &list}
	}
	gets("without a policy", true, true)
	set(allow("198.18.80.0/24"))
	gets("with networks of IPv4", true, false)
	set(allow("fdb7:3d11:c04a:80::/64"))
	gets("with networks of IPv6", false, true)
	s.End(unix.SIGKILL)
	s.Start()
	gets("with networks of IPv6 after a kill", false, true)
	all := true
	set(daytona.NetworkSettings{BlockAll: &all})
	gets("blocked", false, false)
	set(allow(""))
	gets("open again", true, true)

	page := pageAt(there6)
	if _, err := build(t.Context(), s, "fetched", "FROM "+box+"\nADD "+page+" /added\nRUN "+fetch(there6)+" >/fetched\n"); err != nil {
		t.Fatal(err)
	}
	says(s, "fetched", "cat /added /fetched", text+text)
	for name, a := range map[string]netip.Addr{"host": there6.Prev(), "metadata": netip.MustParseAddr("fd00:ec2::254"), "mapped": netip.MustParseAddr("64:ff9b::7f00:1")} {
		if reason := failure(s, name, "FROM "+box+"\nADD "+pageAt(a)+" /added\n"); !strings.Contains(reason, "may not fetch from") {
			t.Errorf("ADD of %s: %s", a, reason)
		}
	}
}
