package permission

import (
	"slices"
	"testing"

	"github.com/opendaytona/daytona/api"
)

func TestTheAPIHasTheSameNames(t *testing.T) {
	for name, c := range map[string]struct {
		ours []Permission
		wire []api.Permission
	}{"published": {Published, api.Permissions}, "additional": {Additional, api.AdditionalPermissions}} {
		if !slices.EqualFunc(c.ours, c.wire, func(a Permission, b api.Permission) bool { return string(a) == string(b) }) {
			t.Errorf("%s: %v, the API has %v", name, c.ours, c.wire)
		}
	}
}
