package secretbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opendaytona/daytona/internal/durable"
)

// LoadKey is the configured key, or that of the file at path, which the first
// start makes.
func LoadKey(configured, path string) (*Key, error) {
	if configured != "" {
		return ParseKey(configured)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(NewKeyText() + "\n")
		err = durable.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("encryption key %s: %w; to do without what it encrypted, delete the file", path, err)
	}
	return key, nil
}
