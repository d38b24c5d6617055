// Package machine looks whether this machine can run sandboxes, by its list of
// requirements and by starting one, and says what the engine on it is opened with.
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

// ErrUnfit ends `daytona server check` when a requirement fails; the list has
// said the rest.
var ErrUnfit = errors.New("this machine cannot run sandboxes yet: see what is marked MISSING")

// Check prints whether the machine has what a server needs, and then whether a
// sandbox starts on it. Errors: ErrUnfit, or why ctx ended.
func Check(ctx context.Context, c config.Config, version string, w io.Writer) error {
	options := Options(c, version)
	if err := report(append(local.Check(ctx, options), checkQuarantine(c)), w); err != nil {
		return err
	}
	tried := local.Try(ctx, options)
	if ctx.Err() != nil {
		// Only what was not freed is worth telling.
		if last := tried[len(tried)-1]; !last.OK {
			return fmt.Errorf("%w: %s: %s", context.Cause(ctx), last.Name, last.Detail)
		}
		return context.Cause(ctx)
	}
	return report(tried, w)
}

// checkQuarantine tells of what the database does not know.
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
		r.Detail = fmt.Sprintf("the database does not know %s: see `daytona server quarantine list`", strings.Join(ids, ", "))
	default:
		r.OK = true
	}
	return r
}

// Options are the options of the engine that need nothing open.
func Options(c config.Config, version string) local.Options {
	return local.Options{
		DataDir: c.DataDir, RuntimeDir: c.RuntimeDir, Runtime: c.Runtime, DiskSize: c.DiskSize, Oversubscribe: c.DiskOversubscription,
		Slots: c.NetworkSlots, Subnet: c.Subnet, Subnet6: c.Subnet6, NoIPv6: c.NoIPv6, Bandwidth: c.Bandwidth,
		Sysctls: c.HostSysctls == config.HostSysctlsKubernetes, Version: version,
	}
}

// nameWidth lets the lists of a check stand in one column.
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

// Warn tells of what is missing and urgent.
func Warn(requirements []local.Requirement, log *slog.Logger) {
	for _, r := range requirements {
		if !r.OK && r.Urgent {
			log.Warn("the machine is short of something", "what", r.Name, "detail", r.Detail)
		}
	}
}

// Fit says which requirements fail, in one error; nil for none.
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
	return fmt.Errorf("this machine cannot run sandboxes yet; it lacks:\n%s\n`daytona server check` prints the whole list", strings.Join(lines, "\n"))
}
