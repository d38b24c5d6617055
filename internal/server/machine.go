package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/baseimage"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local"
)

// machine is what a server takes from the machine it is on; tests have another.
type machine struct {
	openEngine func(context.Context, local.Options) (engine.Host, error)
	base       baseImage
	hubImage   string // stands in for base where a hub has it
	recipe     recipe // of the default snapshots' image

	fullNeeds     int64         // bytes of disk space that its full variant takes
	completePause time.Duration // before that is tried again for the first time
}

// baseImage is the image made here from Debian's packages.
type baseImage struct {
	reference string
	// build makes it in dir, where it is not there yet.
	build func(ctx context.Context, dir string, log *slog.Logger, progress func(string)) error
	// handler serves it as a registry does.
	handler func(dir string) (http.Handler, error)
}

// recipe is an image that is built here, in variants.
type recipe struct {
	version    string
	dockerfile func(variant, base string) string
	fill       func(dir string) error // writes what the Dockerfile uses
}

// thisMachine is the real one.
func thisMachine() machine {
	return machine{
		hubImage: hubImage, fullNeeds: fullNeeds, completePause: completePause,
		recipe: recipe{recipes.Version(), recipes.Dockerfile, recipes.Fill},
		openEngine: func(ctx context.Context, o local.Options) (engine.Host, error) {
			e, err := local.Open(ctx, o)
			if err != nil {
				return nil, err // not e: a nil *Local would be an engine
			}
			return e, nil
		},
		base: baseImage{
			reference: baseimage.Reference(),
			build: func(ctx context.Context, dir string, log *slog.Logger, progress func(string)) error {
				return baseimage.Build(ctx, baseimage.Config{Dir: dir, Log: log, Progress: progress})
			},
			handler: baseimage.Handler,
		},
	}
}
