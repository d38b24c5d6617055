//go:build linux

package testserver

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"

	continuity "github.com/containerd/continuity/fs"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/oci"
)

// copyTree copies a sandbox's directory unless the copy is there.
func copyTree(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	err := continuity.CopyDir(to, from)
	if errors.Is(err, os.ErrNotExist) {
		return engine.ErrNotFound
	}
	return err
}

// Capture is engine.Engine.
func (m *Machine) Capture(_ context.Context, id, name string) error {
	if err := os.MkdirAll(m.at("captures"), 0o755); err != nil {
		return err
	}
	return copyTree(m.at(id, "disk"), m.at("captures", name))
}

// Changes is engine.Engine.
func (m *Machine) Changes(_ context.Context, name, _ string, layer io.Writer) error {
	w := tar.NewWriter(layer)
	return errors.Join(w.AddFS(os.DirFS(m.at("captures", name))), w.Close())
}

// Captures is engine.Engine.
func (m *Machine) Captures(context.Context) ([]string, error) {
	entries, err := os.ReadDir(m.at("captures"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Discard is engine.Engine.
func (m *Machine) Discard(_ context.Context, name string) error {
	return os.RemoveAll(m.at("captures", name))
}

// captures is snapshot.Captures on the machine's directories. Sandboxes of what
// it makes begin empty, as all of them do here.
type captures struct {
	*Machine
	images *Images
}

// Commit is snapshot.Captures.
func (c captures) Commit(ctx context.Context, name, _, owner string) (*oci.Image, error) {
	digest := "sha256:" + name
	return &oci.Image{Digest: digest, DefaultUser: "root"}, c.images.Hold(ctx, owner, digest)
}

// SetRecord is engine.Engine. What is kept is asked for by nobody.
func (m *Machine) SetRecord(_ context.Context, id string, _ []byte) error {
	if _, err := os.Stat(m.at(id, "disk")); err != nil {
		return engine.ErrNotFound
	}
	return nil
}
