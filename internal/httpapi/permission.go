package httpapi

import "github.com/opendaytona/daytona/internal/permission"

// Sometimes is a permission that an operation needs for some requests only.
type Sometimes struct {
	When       string                `json:"when"`
	Permission permission.Permission `json:"permission"`
}

// anyKey is what an operation needs that every key of an organization may do.
var anyKey = []permission.Permission{}

// has is what an operation needs of a key.
func has(permissions ...permission.Permission) []permission.Permission { return permissions }

// The extensions of the OpenAPI document by which each operation states what it
// needs of a key. Public operations have neither.
const (
	ExtensionPermissions = "x-permissions"
	ExtensionSometimes   = "x-permissions-sometimes"
)

// statement is what the document says of the operation's permissions. One that
// neither is public nor says what it needs is a mistake that no server may start
// with.
func (op operation) statement() map[string]any {
	if op.public {
		return nil
	}
	if op.needs == nil {
		panic("operation " + op.id + " does not state what it needs of a key")
	}
	out := map[string]any{ExtensionPermissions: op.needs}
	if len(op.sometimes) > 0 {
		out[ExtensionSometimes] = op.sometimes
	}
	return out
}

// renamed are the same permissions as the type of another package. Nil stays nil.
func renamed[To, From ~string](all []From) []To {
	if all == nil {
		return nil
	}
	out := make([]To, len(all))
	for i, p := range all {
		out[i] = To(p)
	}
	return out
}
