package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opendaytona/daytona/internal/durable"
)

// Credentials is what root on this machine needs to use the server, kept in
// CredentialsName.
type Credentials struct {
	APIURL       string `json:"apiUrl"`
	APIKey       string `json:"apiKey"`
	DashboardURL string `json:"dashboardUrl"`
}

// ReadCredentials reads what an earlier start kept; nothing is no error.
func ReadCredentials(path string) (c Credentials, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials %s: %w (delete the file to get a new key)", path, err)
	}
	return c, nil
}

func (c Credentials) Write(path string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		err = durable.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	return nil
}
