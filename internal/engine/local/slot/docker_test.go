package slot

import (
	"testing"

	"github.com/google/nftables"
)

// The rules of a Docker are imitated in a network namespace of the test's own.
func TestDockersRulesLetSandboxesThroughAndForgetThem(t *testing.T) {
	user, net, err := newNamespaces(firstID)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	defer net.Close()
	c, err := nftables.New(nftables.WithNetNSFd(int(net.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := passDocker(c, "dt0-"); done || err != nil {
		t.Fatalf("without Docker: %v, %v", done, err)
	}
	var chains []*nftables.Chain
	docker := func(family nftables.TableFamily) {
		t.Helper()
		table := c.AddTable(&nftables.Table{Family: family, Name: dockerTable})
		chain := c.AddChain(&nftables.Chain{Name: dockerChain, Table: table})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: verdict(-5)}) // Docker's own: return
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		chains = append(chains, chain)
	}
	// In every chain there is the same number of rules.
	count := func() (n int) {
		t.Helper()
		for i, chain := range chains {
			rules, err := c.GetRules(chain.Table, chain)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && len(rules) != n {
				t.Fatalf("%d rules for IPv6, %d for IPv4", len(rules), n)
			}
			n = len(rules)
		}
		return n
	}
	docker(nftables.TableFamilyIPv4)
	if done, err := passDocker(c, "dt0-"); done || err != nil || count() != 3 {
		t.Fatalf("with a Docker that may have IPv6 later: %v, %v, %d rules", done, err, count())
	}
	docker(nftables.TableFamilyIPv6)
	for range 2 {
		if done, err := passDocker(c, "dt0-"); !done || err != nil {
			t.Fatalf("with Docker: %v, %v", done, err)
		}
		if n := count(); n != 3 {
			t.Fatalf("%d rules, want Docker's and two of ours", n)
		}
	}
	if done, err := passDocker(c, "dt1-"); !done || err != nil || count() != 5 {
		t.Fatalf("another server: %v, %v, %d rules", done, err, count())
	}
	if err := leaveDocker(c, "dt0-"); err != nil || count() != 3 {
		t.Fatalf("%v, %d rules; the other server's and Docker's should be left", err, count())
	}
	if err := leaveDocker(c, "dt0-"); err != nil {
		t.Fatal(err)
	}
}
