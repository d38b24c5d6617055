// Package agent carries the agent's binary, which the engine mounts into every
// sandbox. `make build` compiles cmd/toolbox into bin/ before the server.
package agent

import (
	"embed"
	"errors"
	"io/fs"
)

//go:embed bin
var bin embed.FS

// ErrNotBuilt says that the server was compiled without the agent.
var ErrNotBuilt = errors.New("this server was built without its agent; build it with `make build`")

// Binary returns the agent's static executable for this architecture.
// Errors: ErrNotBuilt.
func Binary() ([]byte, error) {
	b, err := bin.ReadFile("bin/toolbox")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	return b, err
}
