// Package access decides who may reach the toolbox of a sandbox.
package access

import (
	"context"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// Toolboxes authorizes requests to the toolboxes of sandboxes
// (gateway.Authorizer): by the keys of their organization that may use them. It is
// in the path of every command that runs in a sandbox, so it caches which sandbox
// a name is.
type Toolboxes struct {
	Accounts  *account.Service
	Sandboxes Sandboxes
	Cache     *Cache
}

// Sandboxes finds a sandbox of an organization by its id or name.
type Sandboxes interface {
	Get(ctx context.Context, organizationID, idOrName string) (*sandbox.Sandbox, error)
}

// AuthorizeToolbox is gateway.Authorizer.
func (t Toolboxes) AuthorizeToolbox(ctx context.Context, authorization, organization, idOrName string) (string, error) {
	p, err := t.Accounts.Authenticate(ctx, httperror.BearerToken(authorization), organization)
	if err == nil {
		err = p.Need(permission.UseToolbox)
	}
	if err != nil {
		return "", err
	}
	return t.Cache.id(p.OrganizationID, idOrName, func() (string, error) {
		sb, err := t.Sandboxes.Get(ctx, p.OrganizationID, idOrName)
		if err != nil {
			return "", err
		}
		return sb.ID, nil
	})
}

// Cache remembers the ids of sandboxes by what requests call them.
type Cache struct {
	mu         sync.Mutex
	known      *lru.LRU[entry, string]
	generation uint64 // moves when a sandbox goes
}

// entry is what a request names.
type entry struct{ organization, sandbox string }

// cacheSize bounds the memory of what is remembered.
const cacheSize = 16384

// NewCache makes an empty cache.
func NewCache() *Cache {
	known, err := lru.NewLRU[entry, string](cacheSize, nil)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &Cache{known: known}
}

// id is the remembered one, or what find finds.
func (c *Cache) id(organization, idOrName string, find func() (string, error)) (string, error) {
	asked := entry{organization, idOrName}
	c.mu.Lock()
	id, ok := c.known.Get(asked)
	generation := c.generation
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	id, err := find()
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == generation { // or it may have gone while we looked
		c.known.Add(asked, id)
	}
	return id, nil
}

// Forget is called for a sandbox that goes, before its name can be another's.
func (c *Cache) Forget(organization, id, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.known.Remove(entry{organization, id})
	c.known.Remove(entry{organization, name})
}
