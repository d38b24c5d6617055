package server

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine/local"
)

func TestTheCheckListsAllAndFailsForWhatIsRequired(t *testing.T) {
	root := local.Requirement{Name: "root", OK: true, Detail: "yes"}
	crun := local.Requirement{Name: "a faster runtime", Optional: true, Detail: "no crun"}
	btrfs := local.Requirement{Name: "btrfs", Detail: "load the kernel module btrfs"}
	for name, c := range map[string]struct {
		requirements []local.Requirement
		fit          bool
		prints       []string
	}{
		"all there":           {[]local.Requirement{root}, true, []string{"ok        root  yes\n"}},
		"an optional missing": {[]local.Requirement{root, crun}, true, []string{"ok        root ", "optional  a faster runtime  no crun\n"}},
		"a required missing":  {[]local.Requirement{root, btrfs, crun}, false, []string{"MISSING   btrfs ", "load the kernel module", "a faster runtime"}},
	} {
		var out bytes.Buffer
		err := report(c.requirements, &out)
		if c.fit != (err == nil) || err != nil && !errors.Is(err, errUnfit) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.prints {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: printed %q, without %q", name, &out, part)
			}
		}
		err = fit(c.requirements)
		if c.fit != (err == nil) {
			t.Errorf("%s: a start says %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "btrfs: load the kernel module") || strings.Contains(err.Error(), "crun")) {
			t.Errorf("%s: a start says %v", name, err)
		}
	}
}
