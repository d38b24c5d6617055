package space

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/utils/clock"
)

// ballastPeriod is how often the ballast is looked at.
const ballastPeriod = 5 * time.Second

// Tend restores the ballast whenever there is enough space again, until ctx ends.
func (b *Ballast) Tend(ctx context.Context, c clock.WithTicker, log *slog.Logger) {
	tick := c.NewTicker(ballastPeriod)
	defer tick.Stop()
	for {
		if err := b.Restore(); err != nil {
			log.Warn("keep space for deleting", "err", err)
		}
		select {
		case <-tick.C():
		case <-ctx.Done():
			return
		}
	}
}
