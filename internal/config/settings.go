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
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/seal"
)

// setting is one thing that can be set: as --key, as DAYTONA_KEY, and as key in
// the file.
type setting struct {
	key      string
	fallback string // as it would be written
	usage    string
	allowed  string // completes "… is not valid: use"
	list     bool   // may be repeated; set gets each item
	secret   bool   // no flag, which everyone on the machine could see
	hidden   bool   // may hold a secret, so that no message repeats it
	set      func(c *Config, text string) bool
}

// settings are all there are, in the order of `daytona server --help`.
var settings = []setting{
	{
		key: "data-dir", fallback: "/var/lib/daytona", usage: "keep everything in this `directory`", allowed: "the path of a directory other than /",
		set: func(c *Config, s string) bool { return absolute(&c.DataDir, s) },
	},
	{
		key: "runtime-dir", fallback: "/run/daytona", usage: "`directory` for what ends with a reboot; servers on one machine share it", allowed: "the path of a directory other than /",
		set: func(c *Config, s string) bool { return absolute(&c.RuntimeDir, s) },
	},
	{
		key: "database", hidden: true, usage: "`URL` of a PostgreSQL database, such as postgres://user@host/daytona; everyone on this machine sees a password that is given here, and none that DAYTONA_DATABASE or the file has (default: SQLite, in the data directory)", allowed: "postgres://USER:PASSWORD@HOST/DATABASE, or nothing for SQLite in the data directory",
		set: func(c *Config, s string) bool {
			c.Database = s
			u, err := url.Parse(s)
			return s == "" || err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && len(u.Path) > 1
		},
	},
	{
		key: "listen", fallback: "127.0.0.1:3986", usage: "`address` to serve at; :3986 serves other machines too", allowed: "HOST:PORT, or :PORT for all addresses of this machine",
		set: func(c *Config, s string) bool {
			_, port, err := net.SplitHostPort(s)
			n, portErr := strconv.ParseUint(port, 10, 16)
			c.Listen = s
			return err == nil && portErr == nil && n <= 65535
		},
	},
	{
		key: "max-connections", fallback: "8192", usage: "`number` of connections of clients at once, WebSockets and streams too", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.MaxConnections, s, 1, maxQuota) },
	},
	{
		key: "max-connections-per-address", fallback: "2048", usage: "`number` of them from one address, or one /64 network of IPv6; behind a reverse proxy all have its address", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.MaxConnectionsPerAddress, s, 1, maxQuota) },
	},
	{
		key: "public-url", usage: "`URL` at which clients reach the server, such as https://daytona.example.com (default: wherever a request came)", allowed: "http:// or https:// and a host, without a path",
		set: func(c *Config, s string) bool {
			c.PublicURL = strings.TrimSuffix(s, "/")
			return s == "" || isOrigin(c.PublicURL)
		},
	},
	{
		key: "proxy-domain", usage: "`domain` that the previews of sandboxes' ports are below, such as preview.example.com (default: the host of public-url, or localhost)", allowed: "HOST or HOST:PORT in small letters, and no address",
		set: func(c *Config, s string) bool {
			c.ProxyDomain = preview.Domain(s)
			return s == "" || c.ProxyDomain.Valid()
		},
	},
	{
		key: "cors-origin", list: true, usage: "`ORIGIN` of pages whose scripts may use the API and the toolboxes with a key of theirs, such as https://app.example.com, or * for all (repeatable)", allowed: "http:// or https:// and a host in small letters, without a path, or *",
		set: func(c *Config, s string) bool {
			c.CORSOrigins = append(c.CORSOrigins, s)
			return s == "*" || isOrigin(s) && s == strings.ToLower(s) && !strings.Contains(s, "*")
		},
	},
	{
		key: "region", fallback: "us", usage: "`name` of the region that this server is", allowed: "up to 63 small letters, digits and - _ . beginning with a letter or digit",
		set: func(c *Config, s string) bool {
			c.Region = s
			return regionPattern.MatchString(s)
		},
	},
	{
		key: "mirror", list: true, usage: "`HOST=URL` of a mirror that is asked before the registry HOST, such as docker.io=http://127.0.0.1:5000 (repeatable)", allowed: "HOST=URL, such as docker.io=http://127.0.0.1:5000",
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
		key: "plain-http", list: true, usage: "registry `HOST[:PORT]` that is spoken to without TLS (repeatable)", allowed: "HOST or HOST:PORT, as it is written in image references",
		set: func(c *Config, s string) bool {
			c.PlainHTTP = append(c.PlainHTTP, s)
			return hostPattern.MatchString(s)
		},
	},
	{
		key: "extra-ca", usage: "PEM `file` of certificates that pulls and sandboxes trust besides their own, or system for what this machine trusts", allowed: "the path of a PEM file, or system",
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
		key: "disk-size", fallback: "0", usage: "`size` of the file that holds the sandboxes' disks where the data directory is not on btrfs, taken at once; 0 is half of the free space", allowed: "0, or at least 1GiB, written such as 40GiB",
		set: func(c *Config, s string) bool {
			n, ok := parseSize(s)
			c.DiskSize = n
			return ok && (n == 0 || n >= GiB)
		},
	},
	{
		key: "disk-oversubscription", fallback: "0", usage: "how many `times` the size of the disk pool the disks of sandboxes and builds together may take; 0 is no bound", allowed: "0, or a number from 1 to 1000 such as 2.5",
		set: func(c *Config, s string) bool {
			n, err := strconv.ParseFloat(s, 64)
			c.DiskOversubscription = n
			return err == nil && (n == 0 || n >= 1 && n <= 1000)
		},
	},
	{
		key: "network-slots", fallback: "4", usage: "`number` of network slots that are kept ready for the next sandboxes", allowed: "a whole number from 1 to 256",
		set: func(c *Config, s string) bool { return whole(&c.NetworkSlots, s, 1, 256) },
	},
	{
		key: "sandbox-subnet", fallback: slot.DefaultSubnet.String(), usage: "IPv4 `prefix` that all servers of this machine take the sandboxes' addresses from", allowed: "an IPv4 prefix of /14 or shorter, such as 10.212.0.0/14",
		set: func(c *Config, s string) bool {
			p, err := netip.ParsePrefix(s)
			c.Subnet = p
			return err == nil && p.Addr().Is4() && p.Bits() <= slot.DefaultSubnet.Bits()
		},
	},
	{
		key: "sandbox-bandwidth", fallback: "0", usage: "`bits` per second that each sandbox and each step of a build may send, and as many receive, such as 100M; 0 is no limit", allowed: "0, or from 1M to 100G bits per second",
		set: func(c *Config, s string) bool {
			n, ok := parseSize(s)
			c.Bandwidth = n
			return ok && (n == 0 || n >= 1e6 && n <= 100e9)
		},
	},
	{
		key: "ipv6", fallback: "auto", usage: "IPv6 of sandboxes, `auto|off|PREFIX`: where this machine has a default route for it, never, or as with auto but with addresses from a prefix of yours", allowed: "auto, off, or a prefix of unique local addresses of /60 or shorter, such as fd5c:8a1e:94d7::/48",
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
		key: "builds", fallback: "2", usage: "`number` of images that are built at once; others wait", allowed: "a whole number from 1 to 64",
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
		key: "build-disk", fallback: "20", usage: "`GiB` that one step of a build may write", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.BuildDisk, s, 1, maxQuota) },
	},
	{
		key: "build-timeout", fallback: "1h", usage: "`time` that one build may take", allowed: "at least 1m, written such as 90m",
		set: func(c *Config, s string) bool {
			d, err := time.ParseDuration(s)
			c.BuildTimeout = d
			return err == nil && d >= time.Minute
		},
	},
	{
		key: "build-cache", fallback: "20GiB", usage: "`size` that the cache of builds may have; what snapshots use does not count", allowed: "at least 100MiB, written such as 20GiB",
		set: func(c *Config, s string) bool {
			n, ok := parseSize(s)
			c.BuildCache = n
			return ok && n >= 100<<20
		},
	},
	{
		key: "image-disk", fallback: "100", usage: "`GiB` that an image may take, unpacked", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.ImageDisk, s, 1, maxQuota) },
	},
	{
		key: "image-files", fallback: "2000000", usage: "`number` of files that an image may have", allowed: "a whole number from 1000 to 1000000000",
		set: func(c *Config, s string) bool { return whole(&c.ImageFiles, s, 1000, 1_000_000_000) },
	},
	{
		key: "registry-keep", fallback: "24h", usage: "`time` that a pushed image stays without a snapshot that is made of it", allowed: "at least 1m, written such as 24h",
		set: func(c *Config, s string) bool {
			d, err := time.ParseDuration(s)
			c.RegistryKeep = d
			return err == nil && d >= time.Minute
		},
	},
	{
		key: "quarantine-keep", fallback: "336h", usage: "`time` that disks and images stay which are found here and no row of the database knows; 0 is until they are purged", allowed: "0, or at least 1m, written such as 336h",
		set: func(c *Config, s string) bool {
			d, err := time.ParseDuration(s)
			c.QuarantineKeep = d
			return err == nil && (d == 0 || d >= time.Minute)
		},
	},
	{
		key: "host-sysctls", fallback: HostSysctlsKeep, usage: "`what` to do with the machine's settings that kubelets in sandboxes ask for, such as vm.overcommit_memory=1 and kernel.panic=10: keep leaves them, kubernetes sets them", allowed: "keep or kubernetes",
		set: func(c *Config, s string) bool {
			c.HostSysctls = s
			return s == HostSysctlsKubernetes || s == HostSysctlsKeep
		},
	},
	{
		key: "limited-egress", list: true, usage: "`domain` or network that is reached by sandboxes which say nothing of the network, in organizations whose sandboxes are limited by default (repeatable; default: nothing is)", allowed: "a domain such as pypi.org or *.example.com, or a network such as 192.0.2.0/24 or 2001:db8::/32",
		set: func(c *Config, s string) bool {
			c.LimitedEgress = append(c.LimitedEgress, s)
			_, err := sandbox.ParseEgress(c.LimitedEgress)
			return err == nil
		},
	},
	{
		key: "default-snapshot", fallback: "daytona-small", usage: "`name` of the snapshot of sandboxes that name none", allowed: "the name of a snapshot",
		set: func(c *Config, s string) bool {
			c.DefaultSnapshot = s
			return s != ""
		},
	},
	{
		key: "default-image", fallback: DefaultImageAuto, usage: "what the snapshots daytona-small, -medium and -large are made of at the first start: slim or full (built here), auto (slim, and full in its place when that is built, in the background), debian (slim, without asking a hub for a Debian to stand on), none, or an image `reference`",
		allowed: "auto, slim, full, debian, none, or an image with a tag or digest such as python:3.13-slim",
		set: func(c *Config, s string) bool {
			c.DefaultImage = s
			switch s {
			case DefaultImageAuto, DefaultImageDebian, DefaultImageNone, recipes.Slim, recipes.Full:
				return true
			}
			return image.ValidateReference(s) == nil
		},
	},
	{
		key: "quota-cpu", fallback: "1000", usage: "`cores` of an organization's running sandboxes together", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.TotalCPU, s, 1, maxQuota) },
	},
	{
		key: "quota-memory", fallback: "2000", usage: "`GiB` of memory of an organization's running sandboxes together", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.TotalMemory, s, 1, maxQuota) },
	},
	{
		key: "quota-disk", fallback: "10000", usage: "`GiB` of disk of an organization's sandboxes together", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.TotalDisk, s, 1, maxQuota) },
	},
	{
		key: "quota-snapshots", fallback: "500", usage: "`number` of an organization's snapshots", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.Snapshots, s, 1, maxQuota) },
	},
	{
		key: "quota-registry", fallback: "100", usage: "`GiB` of an organization's pushed images together", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.QuotaRegistry, s, 1, maxQuota) },
	},
	{
		key: "quota-uploads", fallback: "50", usage: "`GiB` of the files that an organization has uploaded for builds", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.QuotaUploads, s, 1, maxQuota) },
	},
	{
		key: "max-cpu", fallback: "16", usage: "`cores` of one sandbox", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.MaxCPU, s, 1, maxQuota) },
	},
	{
		key: "max-memory", fallback: "64", usage: "`GiB` of memory of one sandbox", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.MaxMemory, s, 1, maxQuota) },
	},
	{
		key: "max-disk", fallback: "200", usage: "`GiB` of disk of one sandbox", allowed: wholeAllowed,
		set: func(c *Config, s string) bool { return whole(&c.Quota.MaxDisk, s, 1, maxQuota) },
	},
	{
		key: "auto-deactivate-after", fallback: "336h", usage: "`time` after which an unused snapshot becomes inactive; 0 is never", allowed: "0, or at least 1m, written such as 336h",
		set: func(c *Config, s string) bool {
			d, err := time.ParseDuration(s)
			c.DeactivateAfter = d
			return err == nil && (d == 0 || d >= time.Minute)
		},
	},
	{
		key: "shutdown-timeout", fallback: "10s", usage: "`time` that requests get to finish when the server ends", allowed: "a time of at least 0, written such as 10s",
		set: func(c *Config, s string) bool {
			d, err := time.ParseDuration(s)
			c.ShutdownTimeout = d
			return err == nil && d >= 0
		},
	},
	{
		key: "log-level", fallback: "info", usage: "least `level` that is logged: debug (each request too), info, warn, error", allowed: "debug, info, warn or error",
		set: func(c *Config, s string) bool {
			levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
			level, ok := levels[s]
			c.LogLevel = level
			return ok
		},
	},
	{
		key: "log-format", fallback: LogText, usage: "`form` of the log: text or json", allowed: "text or json",
		set: func(c *Config, s string) bool {
			c.LogFormat = s
			return s == LogText || s == LogJSON
		},
	},
	{
		key: "s3-endpoint", usage: "`URL` of an S3 of your own, for the files that builds copy (default: the server is one itself)", allowed: "http:// or https:// and a host, without a path",
		set: func(c *Config, s string) bool {
			c.S3.Endpoint = strings.TrimSuffix(s, "/")
			return s == "" || isOrigin(c.S3.Endpoint)
		},
	},
	{
		key: "s3-sts-endpoint", usage: "`URL` of the token service that makes credentials for uploads there (default: s3-endpoint, as with MinIO)", allowed: "http:// or https:// and a host, without a path",
		set: func(c *Config, s string) bool {
			c.S3.STSEndpoint = strings.TrimSuffix(s, "/")
			return s == "" || isOrigin(c.S3.STSEndpoint)
		},
	},
	{
		key: "s3-bucket", fallback: "daytona-contexts", usage: "`name` of the bucket there", allowed: "the name of a bucket",
		set: func(c *Config, s string) bool { c.S3.Bucket = s; return s != "" },
	},
	{
		key: "s3-region", fallback: "us-east-1", usage: "`name` of the bucket's region", allowed: "the name of a region",
		set: func(c *Config, s string) bool { c.S3.Region = s; return s != "" },
	},
	{
		key: "s3-role", usage: "`ARN` of the role that uploads assume, where the token service wants one", allowed: "an ARN",
		set: func(c *Config, s string) bool { c.S3.Role = s; return true },
	},
	{
		key: "s3-access-key", usage: "access `key` that reads the bucket and assumes the role", allowed: "an access key",
		set: func(c *Config, s string) bool { c.S3.AccessKey = s; return true },
	},
	{
		key: "s3-secret-key", secret: true, usage: "its secret key", allowed: "a secret key",
		set: func(c *Config, s string) bool { c.S3.SecretKey = s; return true },
	},
	{
		key: "admin-api-key", secret: true, usage: "an API key of the administrator's, besides the one that the server makes", allowed: "32 to 256 letters, digits and _ -",
		set: func(c *Config, s string) bool {
			c.AdminAPIKey = s
			return s == "" || adminKeyPattern.MatchString(s)
		},
	},
	{
		key: "encryption-key", secret: true, usage: "the key that encrypts passwords in the database (default: the one that the first start keeps in the data directory)", allowed: "32 random bytes in base64, such as openssl rand -base64 32 prints",
		set: func(c *Config, s string) bool {
			c.EncryptionKey = s
			_, err := seal.ParseKey(s)
			return s == "" || err == nil
		},
	},
}

const (
	GiB          = 1 << 30
	maxQuota     = 1_000_000_000
	wholeAllowed = "a whole number from 1 to 1000000000"
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

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// parseSize reads a number of bytes: 40GiB and 40Gi count by 1024, 40GB and 40G
// by 1000.
func parseSize(s string) (int64, bool) {
	n, err := humanize.ParseBytes(s)
	return int64(n), err == nil && n <= math.MaxInt64
}
