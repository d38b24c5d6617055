package daytona

import (
	"context"
	"errors"
	"time"
)

// restartPatience is how long a wait goes on while the server does not answer:
// longer than a restart of it takes.
const restartPatience = time.Minute

// outlast repeats a look at something that is waited for while the server does
// not answer. Looking changes nothing there.
func outlast(ctx context.Context, look func() error) error {
	began := time.Now()
	for pause := firstPause; ; pause = longer(pause) {
		err := look()
		if !errors.Is(err, ErrUnreachable) || time.Since(began) >= restartPatience || sleep(ctx, pause) != nil {
			return err
		}
	}
}
