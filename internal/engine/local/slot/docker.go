package slot

import (
	"bytes"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// Docker on the host forwards nothing by default but its own containers'
// packets. It keeps a chain, DOCKER-USER, in which others say what else may
// pass; what may reach a sandbox was decided in our own chains before.
const (
	dockerTable = "filter"
	dockerChain = "DOCKER-USER"
)

// dockerFamilies have a chain each; that of IPv6 is there when Docker handles it.
var dockerFamilies = []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}

// dockerChainOf finds the chain where there is one.
func dockerChainOf(c *nftables.Conn, family nftables.TableFamily) (*nftables.Chain, error) {
	chains, err := c.ListChainsOfTableFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name == dockerTable && chain.Name == dockerChain {
			return chain, nil
		}
	}
	return nil, nil
}

// passDocker lets the links that begin with prefix through Docker's chains.
// Where one is missing, done is false.
func passDocker(c *nftables.Conn, prefix string) (done bool, err error) {
	done = true
	for _, family := range dockerFamilies {
		passed, err := passDockerChain(c, family, prefix)
		if err != nil {
			return false, err
		}
		done = done && passed
	}
	return done, nil
}

func passDockerChain(c *nftables.Conn, family nftables.TableFamily, prefix string) (done bool, err error) {
	chain, err := dockerChainOf(c, family)
	if chain == nil || err != nil {
		return false, err
	}
	ours, err := dockerRules(c, chain, prefix)
	if err != nil || len(ours) > 0 {
		return err == nil, err
	}
	for _, key := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
		c.InsertRule(&nftables.Rule{
			Table: chain.Table, Chain: chain, UserData: dockerMark(prefix),
			Exprs: append(linkPrefix(key, expr.CmpOpEq, prefix), verdict(expr.VerdictAccept)...),
		})
	}
	if err := c.Flush(); err != nil {
		return false, fmt.Errorf("let sandboxes through Docker's rules: %w", err)
	}
	return true, nil
}

// leaveDocker takes our rules out of Docker's chains.
func leaveDocker(c *nftables.Conn, prefix string) error {
	for _, family := range dockerFamilies {
		chain, err := dockerChainOf(c, family)
		if err != nil {
			return err
		}
		if chain == nil {
			continue
		}
		ours, err := dockerRules(c, chain, prefix)
		if err != nil {
			return err
		}
		for _, r := range ours {
			if err := c.DelRule(r); err != nil {
				return err
			}
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("take rules out of Docker's: %w", err)
	}
	return nil
}

// dockerMark tells our rules, by the comment that nft and iptables show.
func dockerMark(prefix string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, "daytona sandboxes "+prefix)
}

func dockerRules(c *nftables.Conn, chain *nftables.Chain, prefix string) (ours []*nftables.Rule, err error) {
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return nil, fmt.Errorf("list Docker's rules: %w", err)
	}
	for _, r := range rules {
		if bytes.Equal(r.UserData, dockerMark(prefix)) {
			ours = append(ours, r)
		}
	}
	return ours, nil
}
