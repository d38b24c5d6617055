package server

import (
	"context"
	"time"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/store"
)

// configuredLimits gives every organization the limits of the configuration, so
// that a start with others changes them. Nothing else sets them.
type configuredLimits struct {
	*store.Store
	quota           account.Quota
	deactivateAfter time.Duration
}

// Organization is account.Store.
func (c configuredLimits) Organization(ctx context.Context, id string) (*account.Organization, error) {
	o, err := c.Store.Organization(ctx, id)
	if err != nil {
		return nil, err
	}
	o.Quota, o.DeactivateAfter = c.quota, c.deactivateAfter
	return o, nil
}

// OrganizationsOf is account.Store.
func (c configuredLimits) OrganizationsOf(ctx context.Context, userID string) ([]*account.Organization, error) {
	all, err := c.Store.OrganizationsOf(ctx, userID)
	for _, o := range all {
		o.Quota, o.DeactivateAfter = c.quota, c.deactivateAfter
	}
	return all, err
}

// Organizations is account.Store.
func (c configuredLimits) Organizations(ctx context.Context) ([]*account.Organization, error) {
	all, err := c.Store.Organizations(ctx)
	for _, o := range all {
		o.Quota, o.DeactivateAfter = c.quota, c.deactivateAfter
	}
	return all, err
}
