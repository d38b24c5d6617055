package store

import (
	"errors"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// FuzzCursor looks for a cursor that is taken and does not name one place in the
// list.
func FuzzCursor(f *testing.F) {
	sorts := []sandbox.SortField{sandbox.SortName, sandbox.SortCPU, sandbox.SortMemory, sandbox.SortDisk, sandbox.SortLastActivity, sandbox.SortCreated}
	row := &sandboxRow{ID: "5cdd1155-0000-4000-8000-000000000000", Name: "a", CPU: 2, Memory: 4, Disk: 8}
	row.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for i, s := range sorts {
		f.Add(cursorOf(row, s), uint8(i))
	}
	f.Add("", uint8(0))
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		sort := sorts[int(n)%len(sorts)]
		value, id, err := parseCursor(text, sort)
		if err != nil {
			var told *fault.Error
			if !errors.As(err, &told) || told.Kind != fault.KindInvalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		back := &sandboxRow{ID: id}
		switch sort {
		case sandbox.SortName:
			back.Name = value.(string)
		case sandbox.SortCPU:
			back.CPU = value.(int)
		case sandbox.SortMemory:
			back.Memory = value.(int)
		case sandbox.SortDisk:
			back.Disk = value.(int)
		case sandbox.SortLastActivity:
			back.LastActivityAt = value.(time.Time)
		default:
			back.CreatedAt = value.(time.Time)
		}
		again, sameID, err := parseCursor(cursorOf(back, sort), sort)
		if err != nil || sameID != id || again != value {
			t.Fatalf("%q is %v of %q, and %v of %q when it is written and read again: %v", text, value, id, again, sameID, err)
		}
	})
}
