// Package local runs sandboxes on this machine: an OCI runtime in a private
// user namespace for each, an idmapped overlay over the image's layers and the
// sandbox's own disk, a cgroup and a network slot prepared ahead. It implements
// engine.Engine and imports the rooms below it (disk, rootfs, cgroup, slot,
// nameserver, instance, apparmor, agent) and package image; package server opens it.
package local

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/opendaytona/daytona/internal/image"
)

// Options of Open.
type Options struct {
	DataDir       string // the disks are in it
	RuntimeDir    string // claims and the state of running sandboxes; "" is /run/daytona
	Images        Images
	Runtime       string       // path or name of the OCI runtime; "" is runc
	Oversubscribe float64      // times of the pool's size that all disks may take together; 0 is no bound
	DiskSize      int64        // bytes of the pool's file; 0 is half of the free space
	Slots         int          // network slots kept ready; 0 is 4
	Subnet        netip.Prefix // that all servers of this machine share, IPv4 of /14 or shorter; the zero value is slot.DefaultSubnet
	Subnet6       netip.Prefix // likewise, IPv6 of /60 or shorter; the zero value is slot.DefaultSubnet6
	NoIPv6        bool         // for sandboxes, even where the machine has it
	Bandwidth     int64        // bits per second of each slot, each way; 0 is no limit
	ExtraCA       []byte       // PEM certificates that sandboxes trust besides those of their image
	// StartTimeout is how long the start of a sandbox may take once its turn has
	// come; 0 is 30 seconds. It usually takes 20 ms.
	StartTimeout time.Duration
	Sysctls      bool   // set those of the machine that Kubernetes in sandboxes needs
	Version      string // of the server, told to the agents
	// Trial opens an engine that leaves the machine's settings as they are, for
	// one that ends soon: its sandboxes reach nothing.
	Trial bool
	// OutOfMemory is told, at most once a second for each sandbox, how many
	// processes the kernel has killed in it for its memory limit; nil tells
	// nobody. It must not block.
	OutOfMemory func(id string, killed int64)
	Log         *slog.Logger
}

// Images tells the engine where an image's layers are. Errors:
// image.ErrNotFound.
type Images interface {
	Image(ctx context.Context, digest string) (*image.Image, error)
}
