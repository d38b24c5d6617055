package server

import (
	"context"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// doors decides who may reach the toolbox of a sandbox (gateway.Authorizer):
// the keys of its organization that may use it. It is in the path of every command that runs in
// a sandbox, so it remembers which sandbox a name is.
type doors struct {
	accounts *account.Service
	find     func(ctx context.Context, organizationID, idOrName string) (*sandbox.Sandbox, error)

	mu         sync.Mutex
	known      *lru.LRU[door, string] // sandbox id
	generation uint64                 // moves when a sandbox goes
}

// door is what a request names.
type door struct{ organization, sandbox string }

// maxDoors bounds the memory of what is remembered.
const maxDoors = 16384

func newDoors(accounts *account.Service) *doors {
	known, err := lru.NewLRU[door, string](maxDoors, nil)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &doors{accounts: accounts, known: known}
}

// AuthorizeToolbox is gateway.Authorizer.
func (d *doors) AuthorizeToolbox(ctx context.Context, authorization, organization, idOrName string) (string, error) {
	p, err := d.accounts.Authenticate(ctx, httperror.BearerToken(authorization), organization)
	if err == nil {
		err = p.Need(api.UseToolbox)
	}
	if err != nil {
		return "", err
	}
	asked := door{p.OrganizationID, idOrName}
	d.mu.Lock()
	id, ok := d.known.Get(asked)
	generation := d.generation
	d.mu.Unlock()
	if ok {
		return id, nil
	}
	sb, err := d.find(ctx, p.OrganizationID, idOrName)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation == generation { // or it may have gone while we looked
		d.known.Add(asked, sb.ID)
	}
	return sb.ID, nil
}

// forget is told of a sandbox that goes; its name may be another's soon.
func (d *doors) forget(s *sandbox.Sandbox) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.generation++
	d.known.Remove(door{s.OrganizationID, s.ID})
	d.known.Remove(door{s.OrganizationID, s.Name})
}
