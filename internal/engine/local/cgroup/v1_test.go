package cgroup

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// unifiedMount is where v2 is mounted, beside v1 or alone.
func unifiedMount() string {
	if openV1() != nil {
		return filepath.Join(root, "unified")
	}
	return root
}

func TestRuntimesThatDoNotKnowTheMachinesGroupsAreRefused(t *testing.T) {
	yes, no := true, false
	legacy, hybrid := &v1{}, &v1{hybrid: []string{"hugetlb"}}
	for name, c := range map[string]struct {
		machine *v1 // nil is v2
		version string
		knows   *features.Cgroup
		refusal string // "" for none
	}{
		"runc in hybrid mode":            {machine: hybrid, version: "runc version 1.1.5+ds1"},
		"crun with v2":                   {version: "crun version 1.21"},
		"crun with v1":                   {machine: legacy, version: "crun version 1.21"},
		"crun beside controllers in v2":  {machine: hybrid, version: "crun version 1.21", refusal: "cgroup v2 has controllers beside v1 (hugetlb): use runc"},
		"one without v2 where it is":     {version: "other 3", knows: &features.Cgroup{V1: &yes, V2: &no}, refusal: "cgroup v2"},
		"one without v2 where it is not": {machine: legacy, version: "other 3", knows: &features.Cgroup{V1: &yes, V2: &no}},
		"one without v1 where it is":     {machine: legacy, version: "other 3", knows: &features.Cgroup{V1: &no, V2: &yes}, refusal: "cgroup v1"},
		"one that does not say":          {version: "other 3", knows: &features.Cgroup{}},
	} {
		err := c.machine.checkRuntime(c.version, c.knows)
		switch {
		case c.refusal == "" && err != nil:
			t.Errorf("%s: refused: %v", name, err)
		case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)):
			t.Errorf("%s: got %v, want %q", name, err, c.refusal)
		}
	}
}
