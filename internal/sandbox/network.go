package sandbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/opendaytona/daytona/internal/fault"
)

// NetworkParams change what a sandbox may reach. Nil fields stay as they are,
// but an allow list ends a block of everything.
type NetworkParams struct {
	BlockAll  *bool
	AllowList *string // networks, separated by commas; "" is none
	Domains   *string // domains, likewise
}

func parseNetwork(blockAll bool, allowList, domains string) (n Network, err error) {
	n.BlockAll = blockAll
	if n.Allow, err = parseAllowList(allowList); err != nil {
		return n, err
	}
	if n.Domains, err = parseDomains(domains); err != nil {
		return n, err
	}
	if len(n.Allow) > 0 {
		n.AllowAsked = allowList
	}
	if len(n.Domains) > 0 {
		n.DomainsAsked = domains
	}
	return n, nil
}

// limits reports whether anything is out of reach.
func (n Network) limits() bool { return n.BlockAll || len(n.Allow)+len(n.Domains) > 0 }

// ParseEgress reads a list of domains and networks; without any it is
// nothing at all that is reached.
func ParseEgress(list []string) (Network, error) {
	var networks, domains []string
	for _, item := range list {
		if strings.Contains(item, "/") {
			networks = append(networks, item)
		} else {
			domains = append(domains, item)
		}
	}
	return parseNetwork(len(list) == 0, strings.Join(networks, ","), strings.Join(domains, ","))
}

// SetNetwork changes what the sandbox may reach; where it runs, before it
// returns, and open connections that no longer pass are cut. When that fails,
// the change is written, the error says that it is not in force, and it is tried
// again until it is. Errors: fault of kind Invalid, NotFound.
func (s *Service) SetNetwork(ctx context.Context, organizationID, idOrName string, p NetworkParams) (*Sandbox, error) {
	if p.BlockAll == nil && p.AllowList == nil && p.Domains == nil {
		return nil, fault.Invalid("", "Give networkBlockAll, networkAllowList or domainAllowList.")
	}
	asked, err := parseNetwork(false, value(p.AllowList), value(p.Domains))
	if err != nil {
		return nil, err
	}
	sb, err := s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error {
		n := &sb.Network
		if p.AllowList != nil {
			n.Allow, n.AllowAsked = asked.Allow, asked.AllowAsked
		}
		if p.Domains != nil {
			n.Domains, n.DomainsAsked = asked.Domains, asked.DomainsAsked
		}
		if p.BlockAll != nil {
			n.BlockAll = *p.BlockAll
		} else if asked.limits() {
			n.BlockAll = false
		}
		sb.NetworkGeneration.Wanted++
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The job goes on when the client gives up: that must not leave a hostile
	// sandbox connected.
	limited, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	if err := s.jobs.networks.Do(limited, job(sb)); err != nil {
		return nil, &fault.Error{
			Kind: fault.KindUnavailable, Code: "NETWORK_PENDING", Err: err,
			Message: fmt.Sprintf("The network of sandbox %s could not be changed yet: the server keeps trying. Stop the sandbox if it must not be connected in the meantime.", sb.Name),
		}
	}
	return sb, nil
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
