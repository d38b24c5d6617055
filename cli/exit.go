package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	daytona "github.com/opendaytona/daytona/sdk"
)

// The exit codes, which the help text in root.go documents.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitPermission  = 4
	exitTimeout     = 5
	exitInterrupted = 130
)

// usageError reports an invalid command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitStatus is the exit code of the command that exec ran.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func exitCode(err error) int {
	var status exitStatus
	var usage usageError
	switch {
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "required flag"):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, daytona.ErrNotFound):
		return exitNotFound
	case errors.Is(err, daytona.ErrUnauthorized), errors.Is(err, daytona.ErrForbidden):
		return exitPermission
	case errors.Is(err, daytona.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// describe returns the message for an error, or "" if there is nothing to add to
// the output of the command.
func describe(err error) string {
	var status exitStatus
	switch {
	case errors.As(err, &status):
		return ""
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return strings.ReplaceAll(err.Error(), context.DeadlineExceeded.Error(), "timed out")
}
