package image

import (
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/oci"
)

// FuzzReference looks for a reference that is valid and does not name one image
// of one registry.
func FuzzReference(f *testing.F) {
	for _, ref := range []string{"python:3.12-slim", "ghcr.io/a/b:1", "localhost:5000/x@sha256:" + strings.Repeat("a", 64), "a:latest", "A/b:1", "x::1", "127.0.0.1:80/a:b"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if oci.ValidateReference(ref) != nil {
			return
		}
		full, err := oci.Normalized(ref)
		if err != nil {
			t.Fatalf("%q is valid and has no full form: %v", ref, err)
		}
		at, err := repositoryOf(ref)
		if err != nil || at.Host == "" || at.Host != oci.RegistryOf(full) || !strings.HasPrefix(full, at.Host+"/") {
			t.Fatalf("%q is %q of %+v, %v", ref, full, at, err)
		}
		digest := "sha256:" + strings.Repeat("0", 64)
		pinned, err := oci.Pinned(ref, digest)
		if err != nil || !strings.HasSuffix(pinned, "@"+digest) || oci.ValidateReference(pinned) != nil || oci.RegistryOf(pinned) != at.Host {
			t.Fatalf("%q is pinned as %q, %v", ref, pinned, err)
		}
	})
}
