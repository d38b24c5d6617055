// Package machine checks whether this machine can run sandboxes, from a list of
// requirements and by starting one, and defines the options of its engine.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/quarantine"

	"github.com/opendaytona/daytona/internal/engine/local"
)

// ErrUnfit is the error of `daytona server check` if a requirement fails. The list
// that was printed before has the details.
var ErrUnfit = errors.New("this machine cannot run sandboxes yet: see the lines marked MISSING")

// Check prints whether the machine meets the requirements, and then whether a
// sandbox starts on it. Errors: ErrUnfit, or why ctx ended.
func Check(ctx context.Context, c config.Config, version string, w io.Writer) error {
	options := Options(c, version)
	if err := report(append(local.Check(ctx, options), checkQuarantine(c)), w); err != nil {
		return err
	}
	tried := local.Try(ctx, options)
	if ctx.Err() != nil {
		// Report only what could not be cleaned up.
		if last := tried[len(tried)-1]; !last.OK {
			return fmt.Errorf("%w: %s: %s", context.Cause(ctx), last.Name, last.Detail)
		}
		return context.Cause(ctx)
	}
	return report(tried, w)
}

// checkQuarantine reports whether anything is in quarantine.
func checkQuarantine(c config.Config) local.Requirement {
	r := local.Requirement{Name: "quarantine", Optional: true, Urgent: true, Detail: "is empty"}
	all, err := quarantine.Index{Dir: c.Below(config.QuarantineName)}.List()
	switch {
	case err != nil:
		r.Detail = err.Error()
	case len(all) > 0:
		var ids []string
		for _, e := range all {
			ids = append(ids, string(e.Kind)+" "+e.ID)
		}
		r.Detail = fmt.Sprintf("the database does not contain %s: run daytona server quarantine list", strings.Join(ids, ", "))
	default:
		r.OK = true
	}
	return r
}

// Options returns the options of the engine that the configuration defines.
func Options(c config.Config, version string) local.Options {
	return local.Options{
		DataDir: c.DataDir, RuntimeDir: c.RuntimeDir, Runtime: c.Runtime, DiskSize: c.DiskSize, Oversubscribe: c.DiskOversubscription,
		Slots: c.NetworkSlots, Subnet: c.Subnet, Subnet6: c.Subnet6, NoIPv6: c.NoIPv6, Bandwidth: c.Bandwidth,
		Sysctls: c.HostSysctls == config.HostSysctlsKubernetes, Version: version,
	}
}

// nameWidth aligns the lists of a check in one column.
const nameWidth = 17

func report(requirements []local.Requirement, w io.Writer) error {
	width, fit := nameWidth, true
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
		return ErrUnfit
	}
	return nil
}

// Warn logs a warning for each urgent requirement that fails.
func Warn(requirements []local.Requirement, log *slog.Logger) {
	for _, r := range requirements {
		if !r.OK && r.Urgent {
			log.Warn("a requirement is not met", "what", r.Name, "detail", r.Detail)
		}
	}
}

// Fit returns an error that lists the failed requirements, or nil.
func Fit(requirements []local.Requirement) error {
	var lines []string
	for _, r := range requirements {
		if !r.OK && !r.Optional {
			lines = append(lines, "  "+r.Name+": "+r.Detail)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("this machine cannot run sandboxes yet; it lacks:\n%s\nrun daytona server check for the whole list", strings.Join(lines, "\n"))
}
