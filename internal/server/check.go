package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/opendaytona/daytona/internal/engine/local"
)

// errUnfit ends `daytona server check` when a requirement fails; the list has
// said the rest.
var errUnfit = errors.New("this machine cannot run sandboxes yet: see what is marked MISSING")

// check prints whether the machine has what a server needs. Errors: errUnfit.
func check(ctx context.Context, c Config, w io.Writer) error {
	return report(local.Check(ctx, c.Runtime, c.DataDir), w)
}

func report(requirements []local.Requirement, w io.Writer) error {
	width, fit := 0, true
	for _, r := range requirements {
		width = max(width, len([]rune(r.Name)))
		fit = fit && (r.OK || r.Optional)
	}
	for _, r := range requirements {
		mark := "ok"
		switch {
		case r.OK:
		case r.Urgent:
			mark = "warning"
		case r.Optional:
			mark = "optional"
		default:
			mark = "MISSING"
		}
		if _, err := fmt.Fprintf(w, "%-9s %-*s  %s\n", mark, width, r.Name, r.Detail); err != nil {
			return err
		}
	}
	if !fit {
		return errUnfit
	}
	return nil
}

// warn tells of what is missing and urgent.
func warn(requirements []local.Requirement, log *slog.Logger) {
	for _, r := range requirements {
		if !r.OK && r.Urgent {
			log.Warn("the machine is short of something", "what", r.Name, "detail", r.Detail)
		}
	}
}

// fit says which requirements fail, in one error; nil for none.
func fit(requirements []local.Requirement) error {
	var lines []string
	for _, r := range requirements {
		if !r.OK && !r.Optional {
			lines = append(lines, "  "+r.Name+": "+r.Detail)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("this machine cannot run sandboxes yet; it lacks:\n%s\n`daytona server check` prints the whole list", strings.Join(lines, "\n"))
}
