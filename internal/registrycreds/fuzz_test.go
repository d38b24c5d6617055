package registrycreds

import "testing"

// FuzzAddress looks for an address of a registry that holds what another host
// has.
func FuzzAddress(f *testing.F) {
	f.Add("https://ghcr.io", "a/b", "ghcr.io.evil.org", "a/b/c")
	f.Add("docker.io", "", "index.docker.io", "library/x")
	f.Add("http://user@h:1/p", "../q", "h:1", "p/q")
	f.Fuzz(func(t *testing.T, url, project, host, repository string) {
		a, err := parseAddress(url, project)
		if err != nil {
			return
		}
		if a.holds(host, repository) && canonicalHost(host) != a.host {
			t.Fatalf("%+v of %q and %q holds %q of %q", a, url, project, repository, host)
		}
	})
}
