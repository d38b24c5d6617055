package server

import (
	"context"
	"io"
)

// noCaptures is an engine that has no disks to copy.
type noCaptures struct{}

func (noCaptures) Capture(context.Context, string, string) error { return nil }
func (noCaptures) Changes(context.Context, string, string, io.Writer) error {
	return nil
}
func (noCaptures) Captures(context.Context) ([]string, error) { return nil, nil }
func (noCaptures) Discard(context.Context, string) error      { return nil }
func (noCaptures) Note(context.Context, string, []byte) error { return nil }
