//go:build linux

package daytona_test

import (
	"testing"

	"github.com/opendaytona/daytona/api"
)

func TestForksAndSnapshotsOfSandboxes(t *testing.T) {
	box, client, _ := started(t)
	fork, err := box.Fork(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if fork.ID == box.ID || fork.Name != "other" || fork.State != api.SandboxStarted {
		t.Errorf("the fork is %+v", fork.Sandbox)
	}
	if err := box.CreateSnapshot(t.Context(), "saved"); err != nil {
		t.Fatal(err)
	}
	if box.State != api.SandboxStarted {
		t.Errorf("it is %s", box.State)
	}
	snap, err := client.Snapshot.Get(t.Context(), "saved")
	if err != nil || snap.State != api.SnapshotActive || snap.SourceSandboxID == nil || *snap.SourceSandboxID != box.ID {
		t.Errorf("the snapshot is %+v, %v", snap, err)
	}
}
