package server

import (
	"context"

	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/machine"
)

// host is what a server takes from the machine it is on; tests have another.
type host struct {
	openEngine func(context.Context, local.Options) (hostEngine, error)
	images     defaultimage.Source // of the default snapshots
}

// hostEngine is all that a server needs of the machine's engine.
type hostEngine interface {
	engine.Host
	machine.Prober
}

// thisHost is the real one.
func thisHost() host {
	return host{
		images: defaultimage.Standard(),
		openEngine: func(ctx context.Context, o local.Options) (hostEngine, error) {
			e, err := local.Open(ctx, o)
			if err != nil {
				return nil, err // not e: a nil *Local would be an engine
			}
			return e, nil
		},
	}
}
