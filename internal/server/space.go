package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/space"
)

const (
	ballastSize   = 64 << 20
	ballastPeriod = 5 * time.Second
)

// openBallast takes the space that deleting needs when there is no other.
func (s *server) openBallast() {
	s.ballast = &space.Ballast{Path: s.Below(config.BallastName), Size: ballastSize}
	if err := s.ballast.Restore(); err != nil {
		s.log.Warn("keep space for deleting", "err", err)
	}
}

// tendBallast takes it again when there is enough.
func (s *server) tendBallast(ctx context.Context) error {
	tick := s.clock.NewTicker(ballastPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.ballast.Restore(); err != nil {
				s.log.Warn("keep space for deleting", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// makeRoom lets deletions have the ballast where there is little else.
func (s *server) makeRoom(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete && space.Require(s.DataDir, 0, ballastSize) != nil && s.ballast.Drop() {
			s.log.Warn("the filesystem of the data directory is full: deleting takes the space that was kept for it")
		}
		next.ServeHTTP(w, r)
	})
}

// checkSpace tells whether the reserve of the data directory's filesystem is
// there.
func (s *server) checkSpace(context.Context) error {
	if space.Require(s.DataDir, 0, space.Reserve) != nil {
		return fmt.Errorf("%s: %w", s.DataDir, space.ErrLow)
	}
	return nil
}

// checkDisks tells whether the sandboxes' disks can be written.
func (s *server) checkDisks(ctx context.Context) error {
	return s.engine.Health(ctx)
}

// roomFor fails unless the database may grow.
func (s *server) roomFor() error {
	if space.Require(s.DataDir, 0, space.Floor) != nil {
		return errors.Join(space.ErrLow, errors.New("the database may not grow"))
	}
	return nil
}
