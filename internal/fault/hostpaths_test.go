package fault

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsersAreToldNoPathsOfTheServer(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/proc/self", link); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(link)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHostPaths("/srv/data/", "/run/daytona", link)
	for text, want := range map[string]string{
		"open /srv/data/images/layers/snapshots/20/fs/caps: permission denied":         "open …/caps: permission denied",
		`mount "/run/daytona/2/root": invalid`:                                         `mount "…/root": invalid`,
		"write /srv/data: no space":                                                    "write …/data: no space",
		"rename /srv/data/a /srv/data/b":                                               "rename …/a …/b",
		"(/srv/data/x), [/srv/data/y]":                                                 "(…/x), […/y]",
		"lstat /srv/data/disks/../../../etc/shadow: no":                                "lstat …/shadow: no",
		"read " + link + "/maps and " + real + "/maps":                                 "read …/maps and …/maps",
		"/srv/database and /srv/data2/x and /run/daytona-other are none of the server": "/srv/database and /srv/data2/x and /run/daytona-other are none of the server",
		"COPY /etc/passwd failed":                                                      "COPY /etc/passwd failed",
		"":                                                                             "",
	} {
		if got := h.Hide(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := (HostPaths{}).Hide("/srv/data"); got != "/srv/data" {
		t.Errorf("the zero value made %q", got)
	}
}
