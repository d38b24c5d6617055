package httpapi

import (
	"context"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/oci"
)

// captures makes an image of anything.
type captures struct {
	engine.Capturer
	images *memoryImages
}

func (c captures) Commit(_ context.Context, name, _, owner string) (*oci.Image, error) {
	return &oci.Image{Digest: "sha256:" + name, DefaultUser: "root"}, c.images.Hold(context.Background(), owner, "sha256:"+name)
}
