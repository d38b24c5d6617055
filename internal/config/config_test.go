package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// loadFrom reads a configuration as the command does.
func loadFrom(t *testing.T, args, environment []string, yaml string) (Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(flags)
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "server.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		environment = append(environment, "DAYTONA_CONFIG="+path)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(flags, environment)
}

func TestFlagsWinOverEnvironmentWinsOverFileWinsOverDefaults(t *testing.T) {
	const file = "region: file\nlog-level: error\nmirror:\n- docker.io=http://file:1\nquota-cpu: 7\nlisten:\n"
	for name, c := range map[string]struct {
		args, environment []string
		file              string
		want              string
	}{
		"nothing given":   {want: "us INFO map[] 1000 127.0.0.1:3986"},
		"file":            {file: file, want: "file ERROR map[docker.io:[{http://file:1}]] 7 127.0.0.1:3986"},
		"environment too": {environment: []string{"DAYTONA_REGION=env", "DAYTONA_MIRROR=a.io=http://e:1,b.io=http://e:2", "DAYTONA_API_KEY=of-a-client", "DAYTONA_LISTEN="}, file: file, want: "env ERROR map[a.io:[{http://e:1}] b.io:[{http://e:2}]] 7 127.0.0.1:3986"},
		"flags too": {
			args: []string{"--region=flag", "--mirror", "docker.io=http://f:1", "--mirror", "docker.io=http://f:2/x/", "--listen", ":80"}, environment: []string{"DAYTONA_REGION=env", "DAYTONA_LOG_LEVEL=debug"}, file: file,
			want: "flag DEBUG map[docker.io:[{http://f:1} {http://f:2/x}]] 7 :80",
		},
		"a flag with the default's value": {args: []string{"--region=us"}, file: file, want: "us ERROR map[docker.io:[{http://file:1}]] 7 127.0.0.1:3986"},
	} {
		got, err := loadFrom(t, c.args, c.environment, c.file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text := fmt.Sprint(got.Region, " ", got.LogLevel, " ", got.Mirrors, " ", got.Quota.TotalCPU, " ", got.Listen); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

func TestEveryDefaultIsValid(t *testing.T) {
	c, err := loadFrom(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/var/lib/daytona" || c.DeactivateAfter != 14*24*time.Hour || c.LogLevel != slog.LevelInfo || c.DefaultImage != DefaultImageAuto || c.DefaultSnapshot != "daytona-small" {
		t.Errorf("got %+v", c)
	}
}

func TestSandboxesHaveIPv6UnlessItIsOff(t *testing.T) {
	for arg, want := range map[string]string{"auto": "false invalid Prefix", "off": "true invalid Prefix", "fd12:3456:789a::/56": "false fd12:3456:789a::/56"} {
		c, err := loadFrom(t, []string{"--ipv6", arg}, nil, "")
		if got := fmt.Sprint(c.NoIPv6, " ", c.Subnet6); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", arg, got, err, want)
		}
	}
	c, err := loadFrom(t, nil, nil, "limited-egress:\n- pypi.org\n- 2001:db8::/32\n")
	if err != nil || len(c.LimitedEgress) != 2 || c.NoIPv6 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWhatIsWrongIsNamedWithKeyValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		args, environment []string
		file              string
		says              []string
	}{
		{file: "regoin: us\n", says: []string{`"regoin"`, "server.yaml", "region"}},
		{file: "mirror:\n  docker.io: http://x\n", says: []string{"mirror", "server.yaml", "HOST=URL"}},
		{file: "region: [a, b]\n", says: []string{"region", "lower-case letters"}},
		{file: ":\n-", says: []string{"server.yaml"}},
		{file: "quota-cpu: 1.5\n", says: []string{"quota-cpu", `"1.5"`, "an integer"}},
		{file: "admin-api-key: short\n", says: []string{"admin-api-key", "32"}},
		{args: []string{"--config", "/does/not/exist"}, says: []string{"/does/not/exist"}},
		{args: []string{"--region", "Mars!"}, says: []string{"region", "--region", `"Mars!"`, "lower-case letters"}},
		{args: []string{"--listen", "3986"}, says: []string{"listen", `"3986"`, "HOST:PORT"}},
		{args: []string{"--listen", ":http"}, says: []string{"listen"}},
		{args: []string{"--listen", ":70000"}, says: []string{"listen"}},
		{args: []string{"--data-dir", "/"}, says: []string{"data-dir", "other than /"}},
		{args: []string{"--public-url", "daytona.example.com"}, says: []string{"public-url", "http://"}},
		{args: []string{"--public-url", "https://example.com/daytona"}, says: []string{"public-url", "without a path"}},
		{args: []string{"--mirror", "http://127.0.0.1:5000"}, says: []string{"mirror", "HOST=URL"}},
		{args: []string{"--mirror", "docker.io=127.0.0.1:5000"}, says: []string{"mirror", "HOST=URL"}},
		{args: []string{"--plain-http", "http://x"}, says: []string{"plain-http", "HOST:PORT"}},
		{args: []string{"--default-image", "python:latest"}, says: []string{"default-image", "python:latest", "tag"}},
		{args: []string{"--limited-egress", "https://pypi.org"}, says: []string{"limited-egress", "a domain such as"}},
		{args: []string{"--limited-egress", "2001:db8::1"}, says: []string{"limited-egress", "2001:db8::/32"}},
		{args: []string{"--ipv6", "on"}, says: []string{"ipv6", `"on"`, "auto, off"}},
		{args: []string{"--ipv6", "2001:db8::/48"}, says: []string{"ipv6", "unique local"}},
		{args: []string{"--ipv6", "fd5c:8a1e:94d7::/64"}, says: []string{"ipv6", "/60 or shorter"}},
		{args: []string{"--ipv6", "10.0.0.0/8"}, says: []string{"ipv6"}},
		{args: []string{"--s3-endpoint", "s3.example.com"}, says: []string{"s3-endpoint", "http://"}},
		{args: []string{"--log-level", "loud"}, says: []string{"log-level", "debug, info"}},
		{args: []string{"--log-format", "xml"}, says: []string{"log-format", "text or json"}},
		{args: []string{"--auto-deactivate-after", "14"}, says: []string{"auto-deactivate-after", `"14"`, "336h"}},
		{environment: []string{"DAYTONA_DISK_SIZE=a lot"}, says: []string{"disk-size", "DAYTONA_DISK_SIZE", `"a lot"`, "40GiB"}},
		{environment: []string{"DAYTONA_DISK_SIZE=10MiB"}, says: []string{"disk-size", "1GiB"}},
		{environment: []string{"DAYTONA_NETWORK_SLOTS=0"}, says: []string{"network-slots", "1 to 256"}},
		{environment: []string{"DAYTONA_MAX_DISK=-1"}, says: []string{"max-disk", "DAYTONA_MAX_DISK", `"-1"`}},
	} {
		_, err := loadFrom(t, c.args, c.environment, c.file)
		if err == nil {
			t.Errorf("%v %v %q was accepted", c.args, c.environment, c.file)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v %v %q: %q does not say %q", c.args, c.environment, c.file, err, part)
			}
		}
	}
}

func TestASecretIsNeitherAFlagNorInAnError(t *testing.T) {
	_, err := loadFrom(t, nil, []string{"DAYTONA_ADMIN_API_KEY=hunter2"}, "")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(flags)
	if flags.Lookup("admin-api-key") != nil {
		t.Error("everyone on the machine could see the key")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "40GiB": 40 << 30, "40Gi": 40 << 30, "2GB": 2e9, "2G": 2e9, "1TiB": 1 << 40, "3K": 3000, "1.5GiB": 3 << 29, "1 GiB": 1 << 30, "1PiB": 1 << 50} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-1", "-1GiB", "GiB", "1XiB", "1e3", "NaN", "9223372036854775808", "999999999999TiB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if !strings.Contains(string(text), "\n"+s.key+":") {
			t.Errorf("the example in docs/configuration.md lacks %s", s.key)
		}
	}
	_, yaml, _ := strings.Cut(string(text), "```yaml\n")
	yaml, _, _ = strings.Cut(yaml, "```")
	if _, err := loadFrom(t, nil, nil, yaml); err != nil {
		t.Errorf("the example in docs/configuration.md: %v", err)
	}
}

func TestOrigins(t *testing.T) {
	for text, want := range map[string]bool{
		"*": true, "https://app.example.com": true, "http://localhost:5173": true,
		"app.example.com": false, "https://app.example.com/": false, "https://App.example.com": false, "ftp://app.example.com": false, "https://*": false, "null": false,
	} {
		i := 0
		for settings[i].key != "cors-origin" {
			i++
		}
		if got := settings[i].set(&Config{}, text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
