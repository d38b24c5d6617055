package gateway

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASandboxThatEndsIsNoErrorOfTheServers(t *testing.T) {
	for err, want := range map[error]slog.Level{
		io.EOF: slog.LevelInfo, io.ErrUnexpectedEOF: slog.LevelInfo, unix.ECONNRESET: slog.LevelInfo, unix.EPIPE: slog.LevelInfo,
		unix.EMFILE: slog.LevelError, errors.New("other"): slog.LevelError,
	} {
		if got := seriousness(fmt.Errorf("dial: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
