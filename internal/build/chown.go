package build

import (
	"context"
	"fmt"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	bkerrors "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/opendaytona/daytona/internal/userid"
)

// Solve implements gateway.Client. BuildKit itself writes the files of COPY and
// ADD, as the host's root, and could give them to users that no sandbox has.
func (g *gate) Solve(ctx context.Context, r gateway.SolveRequest) (*gateway.Result, error) {
	if err := checkOwners(r.Definition); err != nil {
		return nil, err
	}
	return g.Client.Solve(ctx, r)
}

func checkOwners(d *pb.Definition) error {
	if d == nil {
		return nil
	}
	for _, text := range d.Def {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return fmt.Errorf("read build step: %w", err)
		}
		for _, action := range op.GetFile().GetActions() {
			for _, owner := range []*pb.ChownOpt{action.GetCopy().GetOwner(), action.GetMkfile().GetOwner(), action.GetMkdir().GetOwner()} {
				for _, who := range []*pb.UserOpt{owner.GetUser(), owner.GetGroup()} {
					if !userid.Inside(who.GetByID()) {
						return located(d, text, errForeignID)
					}
				}
			}
		}
	}
	return nil
}

// located is an error of the line that an operation was made of.
func located(d *pb.Definition, op []byte, err error) error {
	for _, at := range d.GetSource().GetLocations()[digest.FromBytes(op).String()].GetLocations() {
		if int(at.SourceIndex) < len(d.Source.Infos) {
			err = bkerrors.WithSource(err, &bkerrors.Source{Info: d.Source.Infos[at.SourceIndex], Ranges: at.Ranges})
		}
	}
	return err
}
