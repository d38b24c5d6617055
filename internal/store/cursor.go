package store

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// cursor is what an opaque cursor holds.
type cursor struct {
	Sort sandbox.SortField `json:"s"`
	ID   string            `json:"i"`
	Text string            `json:"t,omitempty"`
	Int  int               `json:"n,omitempty"`
	Time time.Time         `json:"d,omitzero"`
}

func cursorOf(r *sandboxRow, sort sandbox.SortField) string {
	c := cursor{Sort: sort, ID: r.ID}
	switch sort {
	case sandbox.SortName:
		c.Text = r.Name
	case sandbox.SortCPU:
		c.Int = r.CPU
	case sandbox.SortMemory:
		c.Int = r.Memory
	case sandbox.SortDisk:
		c.Int = r.Disk
	case sandbox.SortLastActivity:
		c.Time = r.LastActivityAt
	default:
		c.Time = r.CreatedAt
	}
	text, _ := json.Marshal(c) // of plain fields, which never fails
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string, sort sandbox.SortField) (value any, id string, err error) {
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Sort != sort || c.ID == "" {
		return nil, "", fault.Invalid("cursor", "cursor is not valid: use nextCursor of the page before, with the same sort, or leave it out for the first page.")
	}
	switch sort {
	case sandbox.SortName:
		return c.Text, c.ID, nil
	case sandbox.SortCPU, sandbox.SortMemory, sandbox.SortDisk:
		return c.Int, c.ID, nil
	}
	return c.Time.UTC(), c.ID, nil
}
