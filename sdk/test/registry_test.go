//go:build linux

package daytona_test

import (
	"strings"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestRegistriesAreKeptChangedAndForgotten(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	made, err := c.Registry.Create(ctx, daytona.CreateRegistryParams{Name: "github", URL: "ghcr.io", Username: "octo", Password: "right", Project: "acme"})
	ok(t, err)
	if made.Name != "github" || made.URL != "ghcr.io" || made.Username != "octo" || made.Project != "acme" || made.RegistryType != "organization" || made.Warning != "" {
		t.Errorf("made %+v", made)
	}
	_, err = c.Registry.Create(ctx, daytona.CreateRegistryParams{Name: "github", Username: "x", Password: "y"})
	wants(t, "a name that is taken", err, daytona.ErrConflict)
	_, err = c.Registry.Create(ctx, daytona.CreateRegistryParams{Name: "x", Username: "x"})
	wants(t, "no password", err, daytona.ErrInvalid)

	wrong := "wrong"
	changed, err := c.Registry.Update(ctx, made.ID, daytona.UpdateRegistryParams{Password: &wrong})
	ok(t, err)
	if changed.Project != "acme" || !strings.Contains(changed.Warning, "ghcr.io") {
		t.Errorf("changed to %+v", changed)
	}
	other := "quay.io"
	_, err = c.Registry.Update(ctx, made.ID, daytona.UpdateRegistryParams{URL: &other})
	wants(t, "another registry without a password", err, daytona.ErrInvalid)
	for _, key := range []string{"github", made.ID} {
		if got, err := c.Registry.Get(ctx, key); err != nil || got.ID != made.ID {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
	ok(t, c.Registry.Delete(ctx, made.ID))
	_, err = c.Registry.Get(ctx, "github")
	wants(t, "a deleted one", err, daytona.ErrNotFound)
	wants(t, "deleted again", c.Registry.Delete(ctx, made.ID), daytona.ErrNotFound)
	if all, err := c.Registry.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("left %v, %v", all, err)
	}
}
