package oci

import (
	"strings"
	"testing"
)

func TestReferencesMustNameOneImage(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for ref, says := range map[string]string{
		"python:3.12-slim":                        "",
		"docker.io/library/python:3.12":           "",
		"registry.example:5000/team/app:1.2":      "",
		"registry.example:5000/team/app" + digest: "",
		"app:latest" + digest:                     "",
		"python":                                  "no tag or digest",
		"registry.example:5000/team/app":          "no tag or digest",
		"python:latest":                           "python:1.2.3",
		"node:lts":                                "node:1.2.3",
		"team/app:stable":                         "team/app:1.2.3",
		"":                                        "not a valid reference",
		"has space:1":                             "not a valid reference",
		"UPPER/Case:1":                            "not a valid reference",
		"app@sha256:abc":                          "not a valid reference",
		"../../etc/passwd:1":                      "not a valid reference",
	} {
		err := ValidateReference(ref)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", ref, err, says)
		}
	}
	if got, err := Pinned("registry.example:5000/team/app:1.2", digest[1:]); err != nil || got != "registry.example:5000/team/app"+digest {
		t.Errorf("pinned: %q, %v", got, err)
	}
}
