package httpapi

import (
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// moment is a time in a query. The generated Python clients write the offset
// without a colon, which RFC 3339 has, and leave it out if the time has none.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a time: write it as 2026-01-02T03:04:05Z", text)
}

// Schema implements huma.SchemaProvider. It names no format: that would be
// checked, and is RFC 3339's.
func (moment) Schema(huma.Registry) *huma.Schema {
	shortest := len("2006-01-02T15:04:05")
	return &huma.Schema{Type: huma.TypeString, MinLength: &shortest, Description: "A time as in RFC 3339; UTC if it has no offset", Examples: []any{"2026-01-02T03:04:05Z"}}
}
