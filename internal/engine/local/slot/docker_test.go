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
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: dockerTable})
	chain := c.AddChain(&nftables.Chain{Name: dockerChain, Table: table})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: verdict(-5)}) // Docker's own: return
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		t.Helper()
		rules, err := c.GetRules(table, chain)
		if err != nil {
			t.Fatal(err)
		}
		return len(rules)
	}
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
