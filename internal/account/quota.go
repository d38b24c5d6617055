package account

import (
	"time"

	"github.com/opendaytona/daytona/internal/quota"
)

// CheckSnapshot is snapshot.Limits.
func (s *Service) CheckSnapshot(r quota.Resources) (func(count int) error, error) {
	if err := s.config.Quota.One("snapshot", r); err != nil {
		return nil, err
	}
	return s.config.Quota.Snapshot, nil
}

// DeactivateAfter is snapshot.Limits.
func (s *Service) DeactivateAfter() time.Duration { return s.config.DeactivateAfter }

// CheckSandbox is sandbox.Limits.
func (s *Service) CheckSandbox(r quota.Resources) (func(quota.Usage) error, error) {
	if err := s.config.Quota.One("sandbox", r); err != nil {
		return nil, err
	}
	return func(used quota.Usage) error { return s.config.Quota.Sandbox(used, r) }, nil
}
