//go:build linux

package testserver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Images has an image under every reference but those with the tag "missing".
type Images struct {
	mu   sync.Mutex
	held map[string]string
	hold chan struct{} // pulls wait until it is closed
}

// Hold makes pulls wait until the returned function is called.
func (i *Images) HoldPulls() (release func()) {
	hold := make(chan struct{})
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hold = hold
	return sync.OnceFunc(func() { close(hold) })
}

// ValidateReference is snapshot.Images.
func (i *Images) ValidateReference(ref string) error {
	if strings.HasSuffix(ref, ":latest") || !strings.Contains(ref, ":") {
		return fmt.Errorf("image %q needs a tag other than latest, as in python:3.12.10", ref)
	}
	return nil
}

// Pull is snapshot.Images.
func (i *Images) Pull(ctx context.Context, _, ref, owner string, progress func(string)) (*oci.Image, error) {
	progress("Pulling " + ref)
	i.mu.Lock()
	hold := i.hold
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if strings.HasSuffix(ref, ":missing") {
		return nil, failure("Image " + ref + " was not found: check its name and tag.")
	}
	progress("Pulled " + ref)
	const digest = "sha256:1"
	return &oci.Image{Digest: digest, DefaultUser: "root"}, i.Hold(ctx, owner, digest)
}

// Build is snapshot.Builder: a Dockerfile becomes an image unless it says FAIL.
func (i *Images) Build(ctx context.Context, r snapshot.BuildRequest) (*oci.Image, error) {
	for n, line := range strings.Split(r.Build.Dockerfile, "\n") {
		if fmt.Fprintln(r.Log, "step "+line); strings.Contains(line, "FAIL") {
			return nil, failure(fmt.Sprintf("The build failed in line %d of the Dockerfile (%s).", n+1, line))
		}
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(r.Build.Dockerfile)))
	return &oci.Image{Digest: digest, DefaultUser: "root"}, i.Hold(ctx, r.Owner, digest)
}

// Versions is snapshot.Builder: what has the same hash is the same.
func (i *Images) Versions(_ context.Context, _ string, contexts []string) ([]string, error) {
	return contexts, nil
}

// failure is one that people may see.
type failure string

func (f failure) Error() string   { return "pull: " + string(f) }
func (f failure) Message() string { return string(f) }

// Image is snapshot.Images.
func (i *Images) Image(_ context.Context, digest string) (*oci.Image, error) {
	return &oci.Image{Digest: digest, DefaultUser: "root"}, nil
}

// Registry is snapshot.Images.
func (i *Images) Registry(string) string { return "docker.io" }

// Pinned is snapshot.Images.
func (i *Images) Pinned(ref, digest string) (string, error) { return ref + "@" + digest, nil }

// Hold is snapshot.Images.
func (i *Images) Hold(_ context.Context, owner, digest string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held[owner] = digest
	return nil
}

// Release is snapshot.Images.
func (i *Images) Release(_ context.Context, owner string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.held, owner)
	return nil
}

// Owners is snapshot.Images.
func (i *Images) Owners(context.Context) (map[string]string, error) { return map[string]string{}, nil }

// Contents is snapshot.Images: every image has every program and user.
func (i *Images) Contents(context.Context, string) (oci.Contents, error) { return anything{}, nil }

type anything struct{}

func (anything) Has(string) bool              { return false }
func (anything) HasProgram(string) bool       { return true }
func (anything) Lacks(string) (string, error) { return "", nil }
