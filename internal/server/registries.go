package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/registry"
	"github.com/opendaytona/daytona/internal/seal"
)

// encryptionKey is the configured one, or the data directory's, which the first
// start makes.
func (s *server) encryptionKey() (*seal.Key, error) {
	if s.EncryptionKey != "" {
		return seal.ParseKey(s.EncryptionKey)
	}
	path := s.Below(config.EncryptionKeyName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(seal.NewKeyText() + "\n")
		err = durable.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	key, err := seal.ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("encryption key %s: %w; to do without what it encrypted, delete the file", path, err)
	}
	return key, nil
}

// openRegistries opens the credentials of other people's registries.
func (s *server) openRegistries(ctx context.Context) error {
	key, err := s.encryptionKey()
	if err != nil {
		return err
	}
	s.registries = &registry.Service{Store: s.db, Sealer: key, Tester: registryTester{s.images}, Clock: s.clock, Log: s.log}
	return s.registries.Verify(ctx)
}

// credentialsOf are what an organization's pulls and builds use.
func credentialsOf(registries *registry.Service, organizationID string) image.Credentials {
	return func(ctx context.Context, r image.Repository) (*image.Credential, error) {
		c, err := registries.Credential(ctx, organizationID, r.Host, r.Name)
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, errors.New(f.Message)
		}
		if err != nil || c == nil {
			return nil, err
		}
		return &image.Credential{Entry: c.Entry, User: c.Username, Secret: c.Password}, nil
	}
}

// registryTester is registry.Tester.
type registryTester struct{ images *image.Store }

// Test is registry.Tester.
func (t registryTester) Test(ctx context.Context, host string, c registry.Credential) string {
	err := t.images.Try(ctx, host, image.Credential{Entry: c.Entry, User: c.Username, Secret: c.Password})
	var e *image.PullError
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Kind {
	case image.KindUnauthorized:
		return fmt.Sprintf("%s refuses the user %s with this password: check both.", host, c.Username)
	case image.KindNotFound:
		return fmt.Sprintf("%s does not answer like a registry: check the URL.", host)
	}
	return fmt.Sprintf("%s could not be asked whether it knows the credentials: %s.", host, e.Unanswered())
}
