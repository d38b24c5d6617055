package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/registrycreds"
)

// credentialsOf are what an organization's pulls and builds use.
func credentialsOf(registries *registrycreds.Service, organizationID string) image.Credentials {
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

// RegistryTester is registrycreds.Tester.
type RegistryTester struct{ Images *image.Store }

// Test is registrycreds.Tester.
func (t RegistryTester) Test(ctx context.Context, host string, c registrycreds.Credential) string {
	err := t.Images.Try(ctx, host, image.Credential{Entry: c.Entry, User: c.Username, Secret: c.Password})
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
