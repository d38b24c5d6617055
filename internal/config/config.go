// Package config is the configuration of a server (flags, environment variables and
// a YAML file), and the data directory that it names: which file is where, the lock,
// and the credentials kept for root.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/quota"
)

// Config is all that can be set of a server. Load fills it; the settings are
// in settings.go.
type Config struct {
	DataDir                  string
	RuntimeDir               string
	Database                 string // URL of a PostgreSQL database; "" is SQLite in DataDir
	Listen                   string
	MaxConnections           int
	MaxConnectionsPerAddress int
	PublicURL                string // "" is where each request says it went
	ProxyDomain              preview.Domain
	CORSOrigins              []string // of pages whose scripts may use the API; "*" is all
	Region                   string
	Mirrors                  map[string][]image.Mirror
	PlainHTTP                []string
	ExtraCA                  string // a file, ExtraCASystem, or "" for none
	Runtime                  string
	DiskSize                 int64
	DiskOversubscription     float64 // times of the pool's size; 0 is no bound
	NetworkSlots             int
	Subnet                   netip.Prefix // of the sandboxes
	Subnet6                  netip.Prefix // likewise, IPv6; the zero value is the engine's choice
	NoIPv6                   bool         // sandboxes have none
	HostSysctls              string       // one of the HostSysctls constants
	Bandwidth                int64        // of each sandbox and step of a build, in bits per second each way; 0 is no limit
	LogLevel                 slog.Level
	LogFormat                string
	Builds                   int           // at once
	BuildCPU                 int           // cores of a step
	BuildMemory              int           // GiB of a step
	BuildDisk                int           // GiB that a step may write
	BuildTimeout             time.Duration // of a build
	BuildCache               int64         // bytes
	ImageDisk                int           // GiB that an image may take, unpacked
	ImageFiles               int           // that an image may have
	RegistryKeep             time.Duration // of pushed images that no snapshot uses
	QuarantineKeep           time.Duration // of what the database does not know; 0 is for ever
	QuotaUploads             int           // GiB of an organization's uploads for builds
	QuotaRegistry            int           // GiB of an organization's pushed images
	LimitedEgress            []string      // domains and networks, as sandbox.ParseEgress takes them
	DefaultSnapshot          string
	DefaultImage             string // a reference, or one of the DefaultImage constants
	Quota                    quota.Limits
	DeactivateAfter          time.Duration
	S3                       objectstore.RemoteOptions // where the files that builds copy are; without an Endpoint, here
	AdminAPIKey              string
	EncryptionKey            string
	ShutdownTimeout          time.Duration
}

// Values of Config with a meaning of their own.
const (
	DefaultImageAuto   = "auto"
	DefaultImageDebian = "debian"
	DefaultImageNone   = "none"

	HostSysctlsKeep       = "keep"
	HostSysctlsKubernetes = "kubernetes"

	LogText = "text"
	LogJSON = "json"
)

// defaultFile is read when it is there and no other is named.
const defaultFile = "/etc/daytona/server.yaml"

// configFlag names the YAML file.
const configFlag = "config"

// AddFlags gives every setting that may be on a command line its flag.
func AddFlags(flags *pflag.FlagSet) {
	flags.String(configFlag, "", "read settings from this YAML `file` (default "+defaultFile+" where it exists; "+environmentName(configFlag)+")")
	for _, s := range settings {
		switch {
		case s.secret:
		case s.list:
			flags.StringArray(s.key, nil, s.usage)
		default:
			flags.String(s.key, s.fallback, s.usage)
		}
	}
}

// Load reads the configuration: flags win over the environment, which wins over
// the file, which wins over the defaults.
func Load(flags *pflag.FlagSet, environment []string) (Config, error) {
	env := environmentMap(environment)
	merged := koanf.New("\n") // no setting's name has a newline: nothing is nested
	origin := make(map[string]string)
	add := func(values map[string]any, where func(key string) string) error {
		for key := range values {
			origin[key] = where(key)
		}
		return merged.Load(confmap.Provider(values, ""), nil)
	}
	fromFile, path, err := readFile(flags, env)
	if err != nil {
		return Config{}, err
	}
	err = errors.Join(
		add(defaults(), func(string) string { return "default" }),
		add(fromFile, func(string) string { return path }),
		add(fromEnvironment(env), environmentName),
		add(fromFlags(flags), func(key string) string { return "--" + key }),
	)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return parse(merged, origin)
}

// parse gives every setting its value.
func parse(merged *koanf.Koanf, origin map[string]string) (Config, error) {
	c := Config{Mirrors: map[string][]image.Mirror{}}
	for _, s := range settings {
		values, ok := texts(merged.Get(s.key), s.list)
		if !ok {
			return c, fmt.Errorf("setting %s (%s) is not valid: use %s", s.key, origin[s.key], s.allowed)
		}
		for _, value := range values {
			if s.set(&c, value) {
				continue
			}
			if s.secret || s.hidden {
				value = "(not shown)"
			}
			return c, fmt.Errorf("setting %s (%s): %q is not valid: use %s", s.key, origin[s.key], value, s.allowed)
		}
	}
	return c, nil
}

// texts is a value, of whatever type it was written as, in the form that
// settings take.
func texts(value any, list bool) (out []string, ok bool) {
	switch v := value.(type) {
	case nil:
		return nil, true
	case []string:
		return v, list
	case []any:
		for _, item := range v {
			text, ok := texts(item, false)
			if !ok {
				return nil, false
			}
			out = append(out, text...)
		}
		return out, list
	case map[string]any:
		return nil, false
	}
	return []string{fmt.Sprint(value)}, true
}

func defaults() map[string]any {
	out := make(map[string]any)
	for _, s := range settings {
		if !s.list {
			out[s.key] = s.fallback
		}
	}
	return out
}

// readFile reads the YAML file that the flag or the environment names, or the
// default one where it exists.
func readFile(flags *pflag.FlagSet, env map[string]string) (values map[string]any, path string, err error) {
	path, err = flags.GetString(configFlag)
	if err != nil {
		return nil, "", err
	}
	if path == "" {
		path = env[environmentName(configFlag)]
	}
	if path == "" {
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return nil, "", nil
		}
		path = defaultFile
	}
	k := koanf.New("\n")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return nil, path, fmt.Errorf("read configuration file %s: %w", path, err)
	}
	values = k.Raw()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if findSetting(key) == nil {
			return nil, path, fmt.Errorf("configuration file %s has the unknown setting %q: use one of %s", path, key, strings.Join(settingKeys(), ", "))
		}
		if values[key] == nil {
			delete(values, key) // written without a value
		}
	}
	return values, path, nil
}

// fromEnvironment takes the variables that are settings. Others that begin the
// same belong to clients. An empty one is as good as none.
func fromEnvironment(env map[string]string) map[string]any {
	out := make(map[string]any)
	for _, s := range settings {
		switch text := env[environmentName(s.key)]; {
		case text == "":
		case s.list:
			out[s.key] = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		default:
			out[s.key] = text
		}
	}
	return out
}

func fromFlags(flags *pflag.FlagSet) map[string]any {
	out := make(map[string]any)
	flags.Visit(func(f *pflag.Flag) {
		s := findSetting(f.Name)
		if s == nil {
			return
		}
		out[s.key] = f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			out[s.key] = list.GetSlice()
		}
	})
	return out
}

// environmentName is the variable of a setting.
func environmentName(key string) string {
	return "DAYTONA_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

func environmentMap(environment []string) map[string]string {
	out := make(map[string]string)
	for _, line := range environment {
		if name, value, ok := strings.Cut(line, "="); ok {
			out[name] = value
		}
	}
	return out
}

// DatabasePath is what package store opens.
func (c Config) DatabasePath() string { return cmp.Or(c.Database, c.Below(DatabaseName)) }

// Below is a path in the data directory.
func (c Config) Below(name string) string { return filepath.Join(c.DataDir, name) }

// JSONLog reports whether the log is of JSON lines.
func (c Config) JSONLog() bool { return c.LogFormat == LogJSON }
