package enginetest

import (
	"testing"

	"github.com/opendaytona/daytona/internal/engine"
)

func TestTheEngineInMemoryConforms(t *testing.T) {
	m := NewMachine()
	m.LoseImage("sha256:0000")
	Conform(t, Place{
		Image: "sha256:image",
		Open:  func(*testing.T) engine.Engine { return m.Open() },
		Write: func(_ *testing.T, _ engine.Engine, id, path, content string) { m.WriteFile(id, path, content) },
		Read:  func(_ *testing.T, _ engine.Engine, id, path string) (string, bool) { return m.ReadFile(id, path) },
		End: func(t *testing.T, id string) {
			if !m.EndOne(id, engine.Exit{}) {
				t.Fatalf("%s does not run", id)
			}
		},
	})
	if left := m.Disks(); len(left) != 0 {
		t.Errorf("the disks %v are left", left)
	}
}
