package registrycreds

import (
	"strings"
	"testing"
	"time"
)

func TestAnAddressIsReadAsPeopleWriteIt(t *testing.T) {
	for _, c := range []struct{ url, project, want string }{
		{"ghcr.io", "", "ghcr.io"},
		{" https://GHCR.io/ ", "acme", "ghcr.io/acme"},
		{"ghcr.io/acme", "/tools/", "ghcr.io/acme/tools"},
		{"", "", "docker.io"},
		{"acme", "", "docker.io/acme"},
		{"", "acme", "docker.io/acme"},
		{"docker.io", "acme", "docker.io/acme"},
		{"https://index.docker.io/v1/", "", "docker.io"},
		{"registry-1.docker.io", "", "docker.io"},
		{"https://registry.example:5000/v2/", "", "registry.example:5000"},
		{"localhost:5000/team", "", "localhost:5000/team"},
		{"localhost", "", "localhost"},
		{"http://[::1]:5000", "", "[::1]:5000"},
		{"europe-docker.pkg.dev", "my-project/my-repo", "europe-docker.pkg.dev/my-project/my-repo"},
		{"123456789012.dkr.ecr.eu-central-1.amazonaws.com", "", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"},
	} {
		a, err := parseAddress(c.url, c.project)
		if got := strings.Join(append([]string{a.host}, a.path...), "/"); err != nil || got != c.want {
			t.Errorf("%q and %q are %q, %v", c.url, c.project, got, err)
		}
	}
	for _, c := range [][2]string{{"ftp://x.example", ""}, {"user@ghcr.io", ""}, {"ghcr.io?x", ""}, {"ghcr.io/UPPER", ""}, {"ghcr.io", "a b"}, {"ghcr.io", "../x"}, {"https://host", ""}, {"gh_cr.io", ""}, {"ghcr.io:port", ""}} {
		if a, err := parseAddress(c[0], c[1]); err == nil {
			t.Errorf("%q is %+v", c, a)
		}
	}
}

func TestTheLongestPathWins(t *testing.T) {
	at := time.Unix(0, 0)
	all := []*Registry{
		{Name: "hub", URL: "https://index.docker.io/v1/"},
		{Name: "hub-acme", URL: "docker.io", Project: "acme"},
		{Name: "port", URL: "registry.example:5000"},
		{Name: "team", URL: "registry.example:5000/team", UpdatedAt: at},
		{Name: "newer", URL: "registry.example:5000", Project: "team", UpdatedAt: at.Add(1)},
		{Name: "tools", URL: "registry.example:5000/team", Project: "tools"},
	}
	for repository, want := range map[string]string{
		"docker.io library/python":              "hub",
		"docker.io acme/app":                    "hub-acme",
		"docker.io acme2/app":                   "hub",
		"registry-1.docker.io acme/app":         "hub-acme",
		"registry.example:5000 other/app":       "port",
		"Registry.Example:5000 team/app":        "newer",
		"registry.example:5000 team/tools/x":    "tools",
		"registry.example:5000 team/toolsx":     "newer",
		"registry.example:5000 team":            "newer",
		"registry.example team/app":             "",
		"ghcr.io acme/app":                      "",
		"registry.example:5000.evil.example x/": "",
	} {
		host, name, _ := strings.Cut(repository, " ")
		got := ""
		if r := match(all, host, name); r != nil {
			got = r.Name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", repository, got, want)
		}
	}
}
