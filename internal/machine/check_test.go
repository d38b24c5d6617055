package machine

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/engine/local"
)

func TestTheCheckListsAllAndFailsForWhatIsRequired(t *testing.T) {
	root := local.Requirement{Name: "root", OK: true, Detail: "yes"}
	crun := local.Requirement{Name: "a faster runtime", Optional: true, Detail: "no crun"}
	btrfs := local.Requirement{Name: "btrfs", Detail: "load the kernel module btrfs"}
	low := local.Requirement{Name: "disk", Optional: true, Urgent: true, Detail: "1 GiB free"}
	for name, c := range map[string]struct {
		requirements []local.Requirement
		fit          bool
		prints       []string
	}{
		"all there":           {[]local.Requirement{root}, true, []string{"ok        root               yes\n"}},
		"an optional missing": {[]local.Requirement{root, crun}, true, []string{"ok        root ", "optional  a faster runtime   no crun\n"}},
		"an urgent missing":   {[]local.Requirement{root, low}, true, []string{"warning   disk               1 GiB free"}},
		"a required missing":  {[]local.Requirement{root, btrfs, crun}, false, []string{"MISSING   btrfs ", "load the kernel module", "a faster runtime"}},
	} {
		var out bytes.Buffer
		err := report(c.requirements, &out)
		if c.fit != (err == nil) || err != nil && !errors.Is(err, ErrUnfit) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.prints {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: printed %q, without %q", name, &out, part)
			}
		}
		var log bytes.Buffer
		Warn(c.requirements, slog.New(slog.NewTextHandler(&log, nil)))
		if urgent := name == "an urgent missing"; urgent != strings.Contains(log.String(), "1 GiB free") {
			t.Errorf("%s: a start logs %q", name, &log)
		}
		err = Fit(c.requirements)
		if c.fit != (err == nil) {
			t.Errorf("%s: a start says %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "btrfs: load the kernel module") || strings.Contains(err.Error(), "crun")) {
			t.Errorf("%s: a start says %v", name, err)
		}
	}
}

func TestSettingsOfTheMachineAreChangedOnlyWhenItIsAsked(t *testing.T) {
	for setting, want := range map[string]bool{"": false, config.HostSysctlsKeep: false, config.HostSysctlsKubernetes: true} {
		if set := Options(config.Config{HostSysctls: setting}, "test").Sysctls; set != want {
			t.Errorf("%q: the engine sets them: %t", setting, set)
		}
	}
}
