package daytona

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/api"
)

// Fork makes a sandbox with a copy of this one's disk, and waits until it is
// started. Its processes do not come along. name "" is its id. When that fails
// after the sandbox was made, it is returned along with the error. Errors:
// *StateError when it does not start.
func (s *Sandbox) Fork(ctx context.Context, name string) (*Sandbox, error) {
	fork := s.client.newSandbox()
	fork.Name = name
	err := s.client.do(ctx, request{method: http.MethodPost, url: s.path("/fork"), body: api.ForkSandbox{Name: name}}, &fork.Sandbox)
	if err != nil {
		return fork.made(ctx, err)
	}
	return fork, fork.awaitStarted(ctx)
}

// CreateSnapshot makes a snapshot of the sandbox as it is, and waits until the
// sandbox is what it was before. Errors: *StateError when its disk is lost.
func (s *Sandbox) CreateSnapshot(ctx context.Context, name string) error {
	err := s.client.do(ctx, request{method: http.MethodPost, url: s.path("/snapshot"), body: api.CreateSandboxSnapshot{Name: name}}, &s.Sandbox)
	if err != nil {
		return err
	}
	return s.await(ctx, func() (there, never bool) {
		return s.State != api.SandboxSnapshotting, s.State == api.SandboxError
	})
}
