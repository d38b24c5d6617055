package preview

import (
	"strings"
	"testing"
)

const id = "faca1b52-a194-486b-b74f-6a56d19fc42e"

var token = strings.Repeat("a2", 13)

func TestNames(t *testing.T) {
	for label, want := range map[string]Name{
		"3000-" + id:     {Port: 3000, Sandbox: id},
		"65535-" + token: {Port: 65535, Token: token},
	} {
		if got, ok := ParseName(label); !ok || got != want || got.String() != label || len(label) > 63 {
			t.Errorf("%s is %+v, %t", label, got, ok)
		}
	}
	for _, bad := range []string{
		"", "3000", "3000-", "-" + id, id, "0-" + id, "65536-" + id, "03000-" + id, "+3000-" + id, "-1-" + id, "3000--" + id, "3000-web",
		"3000-" + id[:35], "3000-" + strings.ToUpper(id), "3000-{" + id + "}", "3000-" + strings.ReplaceAll(id, "-", ""), "3000-urn:uuid:" + id,
		"3000-" + token + "a", "3000-" + strings.ToUpper(token), "3000-" + strings.Repeat("1", 26), "a.3000-" + id,
	} {
		if got, ok := ParseName(bad); ok {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestOnlyHostsBelowTheDomainArePreviews(t *testing.T) {
	d := Domain("preview.example.com:8443")
	for host, want := range map[string]string{
		"3000-x.preview.example.com":      "3000-x",
		"3000-x.preview.example.com:8443": "3000-x",
		"3000-X.Preview.EXAMPLE.com.":     "3000-x",
		"3000-x.preview.example.com.:80":  "3000-x",
		"a.b.preview.example.com":         "a.b",
		".preview.example.com":            "",
		"x.preview.example.com:80@evil":   "",
	} {
		if label, ok := d.Label(host); !ok || label != want {
			t.Errorf("%s: %q, %t", host, label, ok)
		}
	}
	for _, other := range []string{"", "preview.example.com", "preview.example.com:8443", "xpreview.example.com", "3000-x.preview.example.com.evil.com", "3000-x.example.com", "[::1]:8443", "127.0.0.1"} {
		if label, ok := d.Label(other); ok {
			t.Errorf("%s has the label %q", other, label)
		}
	}
}

func TestURLsGoWhereTheClientReachedTheServer(t *testing.T) {
	n := Name{Port: 80, Sandbox: id}
	for _, c := range []struct {
		domain       Domain
		origin, want string
	}{
		{"localhost", "http://127.0.0.1:3986", "http://80-" + id + ".localhost:3986"},
		{"localhost", "http://[::1]:3986", "http://80-" + id + ".localhost:3986"},
		{"example.com", "https://daytona.example.com", "https://80-" + id + ".example.com"},
		{"example.com:8443", "https://daytona.example.com", "https://80-" + id + ".example.com:8443"},
	} {
		if got := c.domain.URL(c.origin, n); got != c.want {
			t.Errorf("%s from %s: %s", c.domain, c.origin, got)
		}
	}
	if got := Domain("localhost").Template("http://127.0.0.1:3986"); got != "http://{{PORT}}-{{sandboxId}}.localhost:3986" {
		t.Error(got)
	}
}

func TestDomains(t *testing.T) {
	for d, want := range map[Domain]bool{
		"localhost": true, "preview.example.com": true, "a-b.example.com:8443": true,
		"": false, "127.0.0.1": false, "Example.com": false, "example.com:0": false, "example.com:65536": false, "example.com:": false,
		"http://example.com": false, "*.example.com": false, "example.com/": false, ".example.com": false, "a..b": false, "::1": false,
	} {
		if d.Valid() != want {
			t.Errorf("%q: %t", d, d.Valid())
		}
	}
}

func TestTheToolboxesHaveAHostBesideThePreviews(t *testing.T) {
	d := Domain("preview.example.com:8443")
	if got := d.Toolbox("https://daytona.example.com"); got != "https://toolbox.preview.example.com:8443" {
		t.Error(got)
	}
	for host, want := range map[string]bool{
		"toolbox.preview.example.com": true, "Toolbox.Preview.example.com.:8443": true,
		"preview.example.com": false, "a.toolbox.preview.example.com": false, "3000-" + id + ".preview.example.com": false, "toolbox.preview.example.com:80@evil": false, "": false,
	} {
		if d.IsToolbox(host) != want {
			t.Errorf("%s: %t", host, !want)
		}
	}
	if _, ok := ParseName(toolboxLabel); ok {
		t.Error("it is a preview's name as well")
	}
}
