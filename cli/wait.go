package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// waitFlag adds --timeout to a command that waits. It returns a function that
// returns the context for the wait.
func waitFlag(c *cobra.Command) func() (context.Context, context.CancelFunc) {
	var limit time.Duration
	c.Flags().Var((*patience)(&limit), "timeout", "stop waiting after this time, such as 30 (seconds) or 5m; the server continues (default: no limit)")
	return func() (context.Context, context.CancelFunc) {
		if limit == 0 {
			return context.WithCancel(c.Context())
		}
		return context.WithTimeout(c.Context(), limit)
	}
}

// spin shows a spinner on a terminal until stop is called. If w is not a terminal,
// it writes nothing.
func spin(w io.Writer, what string) (stop func()) {
	if !isTerminal(w) {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		const wheel = `|/-\`
		tick := time.NewTicker(120 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C: // shorter operations show nothing
				fmt.Fprintf(w, "\r%c %s", wheel[i%len(wheel)], what)
			case <-end:
				if i > 0 {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
