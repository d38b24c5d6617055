package config

import (
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/dustin/go-humanize"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
)

// setting is a configuration option: the flag --key, the variable DAYTONA_KEY, and
// key in the file.
type setting struct {
	key      string
	fallback string // the default, as text
	usage    string
	allowed  string // completes "… is not valid: use"
	list     bool   // repeatable; set is called for each item
	secret   bool   // has no flag, because every user of the machine can see command lines
	hidden   bool   // may hold a secret, so that no message repeats it
	set      func(c *Config, text string) bool
}

// settings lists all settings in the order of `daytona server --help`.
var settings = []setting{
	{
		key: "data-dir", fallback: "/var/lib/daytona", usage: "`directory` for all persistent data", allowed: "the path of a directory other than /",
		set: func(c *Config, s string) bool { return absolute(&c.DataDir, s) },
	},
	{
		key: "runtime-dir", fallback: "/run/daytona", usage: "`directory` for state that a reboot discards; servers on one machine can share it", allowed: "the path of a directory other than /",
		set: func(c *Config, s string) bool { return absolute(&c.RuntimeDir, s) },
	},
	{
		key: "database", hidden: true, usage: "`URL` of a PostgreSQL database, such as postgres://user@host/daytona (default: SQLite in the data directory); pass a password in DAYTONA_DATABASE or the file, because every user of this machine can see command lines", allowed: "postgres://USER:PASSWORD@HOST/DATABASE, or an empty value for SQLite in the data directory",
		set: func(c *Config, s string) bool {
			c.Database = s
			u, err := url.Parse(s)
			return s == "" || err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && len(u.Path) > 1
		},
	},
	{
		key: "listen", fallback: "127.0.0.1:3986", usage: "`address` to listen on; :3986 also serves other machines", allowed: "HOST:PORT, or :PORT for all addresses of this machine",
		set: func(c *Config, s string) bool {
			_, port, err := net.SplitHostPort(s)
			n, portErr := strconv.ParseUint(port, 10, 16)
			c.Listen = s
			return err == nil && portErr == nil && n <= 65535
		},
	},
	{
		key: "max-connections", fallback: "8192", usage: "maximum `number` of concurrent client connections, including WebSockets and streams", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.MaxConnections, s, 1, maxQuota) },
	},
	{
		key: "max-connections-per-address", fallback: "2048", usage: "maximum `number` of connections from one address, or one /64 network of IPv6; behind a reverse proxy all have the proxy's address", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.MaxConnectionsPerAddress, s, 1, maxQuota) },
	},
	{
		key: "public-url", usage: "`URL` at which clients reach the server, such as https://daytona.example.com (default: the address of each request)", allowed: "http:// or https:// and a host, without a path",
		set: func(c *Config, s string) bool {
			c.PublicURL = strings.TrimSuffix(s, "/")
			return s == "" || isOrigin(c.PublicURL)
		},
	},
	{
		key: "proxy-domain", usage: "`domain` for previews of sandboxes' ports, such as preview.example.com (default: the host of public-url, or localhost)", allowed: "HOST or HOST:PORT in lower case; an IP address is not allowed",
		set: func(c *Config, s string) bool {
			c.ProxyDomain = preview.Domain(s)
			return s == "" || c.ProxyDomain.Valid()
		},
	},
	{
		key: "cors-origin", list: true, usage: "`ORIGIN` of web pages that may use the API and the toolboxes with their own key, such as https://app.example.com, or * for all (repeatable)", allowed: "http:// or https:// and a host in lower case, without a path, or *",
		set: func(c *Config, s string) bool {
			c.CORSOrigins = append(c.CORSOrigins, s)
			return s == "*" || isOrigin(s) && s == strings.ToLower(s) && !strings.Contains(s, "*")
		},
	},
	{
		key: "region", fallback: "us", usage: "`name` of this server's region", allowed: "up to 63 lower-case letters, digits and - _ . beginning with a letter or digit",
		set: func(c *Config, s string) bool {
			c.Region = s
			return regionPattern.MatchString(s)
		},
	},
	{
		key: "mirror", list: true, usage: "`HOST=URL` of a mirror to try before the registry HOST, such as docker.io=http://127.0.0.1:5000 (repeatable)", allowed: "HOST=URL, such as docker.io=http://127.0.0.1:5000",
		set: func(c *Config, s string) bool {
			host, mirror, found := strings.Cut(s, "=")
			u, err := url.Parse(mirror)
			if !found || !hostPattern.MatchString(host) || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return false
			}
			c.Mirrors[host] = append(c.Mirrors[host], image.Mirror{URL: strings.TrimSuffix(mirror, "/")})
			return true
		},
	},
	{
		key: "plain-http", list: true, usage: "registry `HOST[:PORT]` to contact without TLS (repeatable)", allowed: "HOST or HOST:PORT as written in image references",
		set: func(c *Config, s string) bool {
			c.PlainHTTP = append(c.PlainHTTP, s)
			return hostPattern.MatchString(s)
		},
	},
	{
		key: "extra-ca", usage: "PEM `file` of additional certificates that pulls and sandboxes trust, or system for those that this machine trusts", allowed: "the path of a PEM file, or system",
		set: func(c *Config, s string) bool {
			c.ExtraCA = s
			return true // trust.go reads it
		},
	},
	{
		key: "runtime", fallback: "runc", usage: "OCI runtime: a `program` in the PATH, or its path", allowed: "the name or path of a program",
		set: func(c *Config, s string) bool {
			c.Runtime = s
			return s != ""
		},
	},
	{
		key: "disk-size", fallback: "0", usage: "`size` of the file that holds the sandboxes' disks if the data directory is not on btrfs, allocated at once; 0 means half of the free space", allowed: "0, or at least 1GiB, such as 40GiB",
		set: func(c *Config, s string) bool {
			n, ok := parseSize(s)
			c.DiskSize = n
			return ok && (n == 0 || n >= GiB)
		},
	},
	{
		key: "disk-oversubscription", fallback: "0", usage: "maximum sum of the disk limits of sandboxes and builds, in `times` the size of the disk pool; 0 means unlimited", allowed: "0, or a number from 1 to 1000 such as 2.5",
		set: func(c *Config, s string) bool {
			n, err := strconv.ParseFloat(s, 64)
			c.DiskOversubscription = n
			return err == nil && (n == 0 || n >= 1 && n <= 1000)
		},
	},
	{
		key: "network-slots", fallback: "4", usage: "`number` of network slots to keep ready for the next sandboxes", allowed: "an integer from 1 to 256",
		set: func(c *Config, s string) bool { return whole(&c.NetworkSlots, s, 1, 256) },
	},
	{
		key: "sandbox-subnet", fallback: slot.DefaultSubnet.String(), usage: "IPv4 `prefix` for the sandboxes' addresses, shared by all servers of this machine", allowed: "an IPv4 prefix of /14 or shorter, such as 10.212.0.0/14",
		set: func(c *Config, s string) bool {
			p, err := netip.ParsePrefix(s)
			c.Subnet = p
			return err == nil && p.Addr().Is4() && p.Bits() <= slot.DefaultSubnet.Bits()
		},
	},
	{
		key: "sandbox-bandwidth", fallback: "0", usage: "bandwidth of each sandbox and build step in `bits` per second and direction, such as 100M; 0 means unlimited", allowed: "0, or from 1M to 100G bits per second",
		set: func(c *Config, s string) bool {
			n, ok := parseSize(s)
			c.Bandwidth = n
			return ok && (n == 0 || n >= 1e6 && n <= 100e9)
		},
	},
	{
		key: "ipv6", fallback: "auto", usage: "IPv6 in sandboxes, `auto|off|PREFIX`: auto enables it if this machine has a default route for IPv6; a prefix does the same with addresses from that prefix", allowed: "auto, off, or a prefix of unique local addresses of /60 or shorter, such as fd5c:8a1e:94d7::/48",
		set: func(c *Config, s string) bool {
			c.NoIPv6, c.Subnet6 = s == "off", netip.Prefix{}
			if s == "auto" || s == "off" {
				return true
			}
			p, err := netip.ParsePrefix(s)
			c.Subnet6 = p
			return err == nil && slot.ValidSubnet6(p)
		},
	},
	{
		key: "builds", fallback: "2", usage: "`number` of builds to run at once; others wait", allowed: "an integer from 1 to 64",
		set: func(c *Config, s string) bool { return whole(&c.Builds, s, 1, 64) },
	},
	{
		key: "build-cpu", fallback: "2", usage: "`cores` of one build step", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.BuildCPU, s, 1, maxQuota) },
	},
	{
		key: "build-memory", fallback: "4", usage: "`GiB` of memory of one build step", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.BuildMemory, s, 1, maxQuota) },
	},
	{
		key: "build-disk", fallback: "20", usage: "`GiB` that one build step may write", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.BuildDisk, s, 1, maxQuota) },
	},
	{
		key: "build-timeout", fallback: "1h", usage: "maximum `time` of one build", allowed: "a duration of at least 1m, such as 90m",
		set: func(c *Config, s string) bool { return period(&c.BuildTimeout, s, time.Minute, false) },
	},
	{
		key: "build-cache", fallback: "20GiB", usage: "maximum `size` of an organization's build cache, without the images that snapshots use", allowed: "at least 100MiB, such as 20GiB",
		set: func(c *Config, s string) bool {
			n, ok := parseSize(s)
			c.BuildCache = n
			return ok && n >= 100<<20
		},
	},
	{
		key: "image-disk", fallback: "100", usage: "maximum unpacked size of an image in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.ImageDisk, s, 1, maxQuota) },
	},
	{
		key: "image-files", fallback: "2000000", usage: "maximum `number` of files in an image", allowed: "an integer from 1000 to 1000000000",
		set: func(c *Config, s string) bool { return whole(&c.ImageFiles, s, 1000, 1_000_000_000) },
	},
	{
		key: "registry-keep", fallback: "24h", usage: "`time` to keep a pushed image that no snapshot uses", allowed: "a duration of at least 1m, such as 24h",
		set: func(c *Config, s string) bool { return period(&c.RegistryKeep, s, time.Minute, false) },
	},
	{
		key: "quarantine-keep", fallback: "336h", usage: "`time` to keep disks and images that the database does not contain; 0 means until they are purged", allowed: "0, or a duration of at least 1m, such as 336h",
		set: func(c *Config, s string) bool { return period(&c.QuarantineKeep, s, time.Minute, true) },
	},
	{
		key: "host-sysctls", fallback: HostSysctlsKeep, usage: "`what` to do with kernel settings that kubelets in sandboxes need, such as vm.overcommit_memory=1 and kernel.panic=10: keep or kubernetes (sets them)", allowed: "keep or kubernetes",
		set: func(c *Config, s string) bool {
			c.HostSysctls = s
			return s == HostSysctlsKubernetes || s == HostSysctlsKeep
		},
	},
	{
		key: "limited-egress", list: true, usage: "`domain` or network that sandboxes without their own network policy can reach, in organizations whose sandboxes are limited by default (repeatable; default: none)", allowed: "a domain such as pypi.org or *.example.com, or a network such as 192.0.2.0/24 or 2001:db8::/32",
		set: func(c *Config, s string) bool {
			c.LimitedEgress = append(c.LimitedEgress, s)
			_, err := sandbox.ParseEgress(c.LimitedEgress)
			return err == nil
		},
	},
	{
		key: "default-snapshot", fallback: "daytona-small", usage: "`name` of the snapshot for sandboxes that name none", allowed: "the name of a snapshot",
		set: func(c *Config, s string) bool {
			c.DefaultSnapshot = s
			return s != ""
		},
	},
	{
		key: "default-image", fallback: DefaultImageAuto, usage: "image of daytona-small, -medium and -large at the first start: slim, desktop or full (built here), auto (slim, then full in its place, built in the background), debian (slim, without asking docker.io for its Debian base), none, or an image `reference`",
		allowed: "auto, slim, desktop, full, debian, none, or an image with a tag or digest such as python:3.13-slim",
		set: func(c *Config, s string) bool {
			c.DefaultImage = s
			switch s {
			case DefaultImageAuto, DefaultImageDebian, DefaultImageNone, recipes.Slim, recipes.Desktop, recipes.Full:
				return true
			}
			return oci.ValidateReference(s) == nil
		},
	},
	{
		key: "quota-cpu", fallback: "1000", usage: "maximum total `cores` of an organization's running sandboxes", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.TotalCPU, s, 1, maxQuota) },
	},
	{
		key: "quota-memory", fallback: "2000", usage: "maximum total memory of an organization's running sandboxes in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.TotalMemory, s, 1, maxQuota) },
	},
	{
		key: "quota-disk", fallback: "10000", usage: "maximum total disk of an organization's sandboxes in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.TotalDisk, s, 1, maxQuota) },
	},
	{
		key: "quota-snapshots", fallback: "500", usage: "maximum `number` of an organization's snapshots", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.Snapshots, s, 1, maxQuota) },
	},
	{
		key: "quota-registry", fallback: "100", usage: "maximum total size of an organization's pushed images in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.QuotaRegistry, s, 1, maxQuota) },
	},
	{
		key: "quota-uploads", fallback: "50", usage: "maximum total size of an organization's uploads for builds in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.QuotaUploads, s, 1, maxQuota) },
	},
	{
		key: "max-cpu", fallback: "16", usage: "maximum `cores` of one sandbox", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.MaxCPU, s, 1, maxQuota) },
	},
	{
		key: "max-memory", fallback: "64", usage: "maximum memory of one sandbox in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.MaxMemory, s, 1, maxQuota) },
	},
	{
		key: "max-disk", fallback: "200", usage: "maximum disk of one sandbox in `GiB`", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.MaxDisk, s, 1, maxQuota) },
	},
	{
		key: "auto-deactivate-after", fallback: "336h", usage: "`time` after which an unused snapshot becomes inactive; 0 means never", allowed: "0, or a duration of at least 1m, such as 336h",
		set: func(c *Config, s string) bool { return period(&c.DeactivateAfter, s, time.Minute, true) },
	},
	{
		key: "shutdown-timeout", fallback: "10s", usage: "`time` that running requests may take to finish when the server stops", allowed: "a duration of at least 0, such as 10s",
		set: func(c *Config, s string) bool { return period(&c.ShutdownTimeout, s, 0, false) },
	},
	{
		key: "log-level", fallback: "info", usage: "minimum `level` to log: debug (logs each request), info, warn, error", allowed: "debug, info, warn or error",
		set: func(c *Config, s string) bool {
			levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
			level, ok := levels[s]
			c.LogLevel = level
			return ok
		},
	},
	{
		key: "log-format", fallback: LogText, usage: "`format` of the log: text or json", allowed: "text or json",
		set: func(c *Config, s string) bool {
			c.LogFormat = s
			return s == LogText || s == LogJSON
		},
	},
	{
		key: "s3-endpoint", usage: "`URL` of an external S3 service for the files that builds copy (default: the server's own)", allowed: "http:// or https:// and a host, without a path",
		set: func(c *Config, s string) bool {
			c.S3.Endpoint = strings.TrimSuffix(s, "/")
			return s == "" || isOrigin(c.S3.Endpoint)
		},
	},
	{
		key: "s3-sts-endpoint", usage: "`URL` of the STS service that issues upload credentials (default: s3-endpoint, as with MinIO)", allowed: "http:// or https:// and a host, without a path",
		set: func(c *Config, s string) bool {
			c.S3.STSEndpoint = strings.TrimSuffix(s, "/")
			return s == "" || isOrigin(c.S3.STSEndpoint)
		},
	},
	{
		key: "s3-bucket", fallback: "daytona-contexts", usage: "`name` of the S3 bucket", allowed: "the name of a bucket",
		set: func(c *Config, s string) bool { c.S3.Bucket = s; return s != "" },
	},
	{
		key: "s3-region", fallback: "us-east-1", usage: "`name` of the bucket's region", allowed: "the name of a region",
		set: func(c *Config, s string) bool { c.S3.Region = s; return s != "" },
	},
	{
		key: "s3-role", usage: "`ARN` of the role that uploads assume, if the STS service requires one", allowed: "an ARN",
		set: func(c *Config, s string) bool { c.S3.Role = s; return true },
	},
	{
		key: "s3-access-key", usage: "access `key` that can read the bucket and assume the role", allowed: "an access key",
		set: func(c *Config, s string) bool { c.S3.AccessKey = s; return true },
	},
	{
		key: "s3-secret-key", secret: true, usage: "secret key of s3-access-key", allowed: "a secret key",
		set: func(c *Config, s string) bool { c.S3.SecretKey = s; return true },
	},
	{
		key: "admin-api-key", secret: true, usage: "an additional API key of the administrator", allowed: "32 to 256 letters, digits and _ -",
		set: func(c *Config, s string) bool {
			c.AdminAPIKey = s
			return s == "" || adminKeyPattern.MatchString(s)
		},
	},
	{
		key: "encryption-key", secret: true, usage: "key that encrypts secrets in the database (default: the one that the first start creates in the data directory)", allowed: "32 random bytes in base64, such as openssl rand -base64 32 prints",
		set: func(c *Config, s string) bool {
			c.EncryptionKey = s
			_, err := secretbox.ParseKey(s)
			return s == "" || err == nil
		},
	},
}

const (
	GiB          = 1 << 30
	maxQuota     = 1_000_000_000
	wholeAllowed = "an integer from 1 to 1000000000"
)

var (
	regionPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_.\-]{0,62}$`)
	hostPattern     = regexp.MustCompile(`^` + reference.DomainRegexp.String() + `$`)
	adminKeyPattern = regexp.MustCompile(`^[a-zA-Z0-9_\-]{32,256}$`)
)

func findSetting(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

func settingKeys() []string {
	var out []string
	for _, s := range settings {
		out = append(out, s.key)
	}
	return out
}

func absolute(to *string, s string) bool {
	path, err := filepath.Abs(s)
	*to = path
	return err == nil && s != "" && path != "/"
}

func whole(to *int, s string, least, most int) bool {
	n, err := strconv.Atoi(s)
	*to = n
	return err == nil && n >= least && n <= most
}

// period parses a duration of at least least, or 0 where that is never.
func period(to *time.Duration, s string, least time.Duration, never bool) bool {
	d, err := time.ParseDuration(s)
	*to = d
	return err == nil && (d >= least || never && d == 0)
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// parseSize parses a number of bytes. 40GiB and 40Gi are powers of 1024, 40GB and
// 40G powers of 1000.
func parseSize(s string) (int64, bool) {
	n, err := humanize.ParseBytes(s)
	return int64(n), err == nil && n <= math.MaxInt64
}
