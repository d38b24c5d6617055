package local

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/agent"
	"github.com/opendaytona/daytona/internal/engine/local/apparmor"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup"
	"github.com/opendaytona/daytona/internal/space"
)

// Requirement is one thing that the engine needs of the machine.
type Requirement struct {
	Name     string
	OK       bool
	Optional bool   // without it something is worse, not impossible
	Urgent   bool   // an optional one that a server warns of when it starts
	Detail   string // what was found, or what to do
}

// Check looks at everything the engine needs, changing nothing that stays. Of
// the options it takes DataDir, Runtime and Sysctls. Try tells whether it is
// enough.
func Check(ctx context.Context, o Options) []Requirement {
	if o.Runtime == "" {
		o.Runtime = "runc"
	}
	return []Requirement{
		checkRoot(),
		checkKernel(),
		checkAgent(),
		checkRuntime(ctx, o.Runtime),
		checkCgroups(),
		checkUserNamespaces(),
		checkProgram("/usr/bin/unshare", "util-linux", false),
		checkTimeNamespaces(),
		checkAppArmor(),
		checkFilesystem("overlay", "overlayfs", false, "load the module: modprobe overlay"),
		checkFilesystem("btrfs", "btrfs", true, "without it sandboxes' disks are not limited; load the module: modprobe btrfs"),
		checkProgram("mkfs.btrfs", "btrfs-progs", true),
		checkLoop(),
		checkNftables(),
		checkDevice("/dev/fuse", "fuse", "FUSE filesystems in sandboxes, where programs see the machine's cores and memory"),
		checkDevice("/dev/net/tun", "tun", "VPNs and rootless container networks in sandboxes"),
		checkFiles(),
		checkKubernetes(),
		checkSysctls(o.Sysctls),
		checkDataDir(o.DataDir),
	}
}

func checkRoot() Requirement {
	r := Requirement{Name: "root", OK: os.Geteuid() == 0, Detail: "runs as root"}
	if !r.OK {
		r.Detail = fmt.Sprintf("runs as user %d: start it with sudo, or as a system service", os.Geteuid())
	}
	return r
}

func checkKernel() Requirement {
	const major, minor = 6, 1
	var u unix.Utsname
	r := Requirement{Name: "kernel"}
	if err := unix.Uname(&u); err != nil {
		r.Detail = err.Error()
		return r
	}
	release := unix.ByteSliceToString(u.Release[:])
	var a, b int
	_, err := fmt.Sscanf(release, "%d.%d", &a, &b)
	r.OK = err == nil && (a > major || a == major && b >= minor)
	r.Detail = "Linux " + release
	if !r.OK {
		r.Detail += fmt.Sprintf(": %d.%d or newer is needed (idmapped mounts below overlayfs)", major, minor)
	}
	return r
}

func checkAgent() Requirement {
	_, err := agent.Binary()
	if err != nil {
		return Requirement{Name: "agent", Detail: err.Error()}
	}
	return Requirement{Name: "agent", OK: true, Detail: "is in this binary"}
}

func checkRuntime(ctx context.Context, name string) Requirement {
	r := Requirement{Name: "OCI runtime"}
	path, err := exec.LookPath(name)
	if err != nil {
		r.Detail = name + " was not found: install it (apt install runc), or name another runtime in the configuration"
		return r
	}
	found, err := probeRuntime(ctx, path)
	r.OK, r.Detail = err == nil, path+": "+found.version
	if err != nil {
		r.Detail = err.Error()
	}
	return r
}

func checkCgroups() Requirement {
	version := cgroup.Version()
	r := Requirement{Name: "cgroups", OK: true, Detail: version + " with cpu, memory and pids"}
	have := cgroup.Controllers()
	for _, need := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, need) {
			r.OK = false
			r.Detail = fmt.Sprintf("the %s controller is missing (cgroups %s): enable it on the kernel's command line (cgroup_enable=%s), or delegate it to this service (Delegate=yes)", need, version, need)
		}
	}
	return r
}

func checkUserNamespaces() Requirement {
	r := Requirement{Name: "user namespaces"}
	b, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	if err != nil {
		r.Detail = "the kernel has none (CONFIG_USER_NS)"
		return r
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(b)))
	r.OK, r.Detail = n > 0, fmt.Sprintf("up to %d", n)
	if !r.OK {
		r.Detail = "they are switched off: sysctl user.max_user_namespaces=65536"
	}
	return r
}

func checkTimeNamespaces() Requirement {
	err := tryOwnClock()
	r := Requirement{Name: "time namespaces", OK: err == nil, Optional: true, Detail: "can be made"}
	if err != nil {
		r.Detail = fmt.Sprintf("the uptime in sandboxes is the machine's: %v (the kernel needs CONFIG_TIME_NS, the server CAP_SYS_TIME)", err)
	}
	return r
}

func checkAppArmor() Requirement {
	r := Requirement{Name: "AppArmor", OK: true, Optional: true, Detail: "is off"}
	if !apparmor.Enabled() {
		return r
	}
	r.Detail = "is on; the host's profiles do not attach to programs in sandboxes"
	if err := apparmor.Check(); err != nil {
		r.OK, r.Detail = false, err.Error()
	}
	return r
}

func checkFilesystem(module, name string, optional bool, otherwise string) Requirement {
	r := Requirement{Name: name, Optional: optional, Detail: "known to the kernel"}
	if os.Geteuid() == 0 {
		// Loading it is what mounting would do.
		_ = exec.Command("modprobe", "-q", module).Run()
	}
	b, err := os.ReadFile("/proc/filesystems")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == module {
				r.OK = true
			}
		}
	}
	if !r.OK {
		r.Detail = "unknown to the kernel: " + otherwise
	}
	return r
}

func checkProgram(name, pkg string, optional bool) Requirement {
	path, err := exec.LookPath(name)
	if err != nil {
		return Requirement{Name: name, Optional: optional, Detail: "was not found: install it (apt install " + pkg + ")"}
	}
	return Requirement{Name: name, OK: true, Optional: optional, Detail: path}
}

func checkLoop() Requirement {
	_, err := os.Stat("/dev/loop-control")
	r := Requirement{Name: "loop devices", OK: err == nil, Optional: true, Detail: "/dev/loop-control"}
	if !r.OK {
		r.Detail = "none: sandboxes' disks are limited only if the data directory is on btrfs; load the module: modprobe loop"
	}
	return r
}

func checkNftables() Requirement {
	r := Requirement{Name: "nftables"}
	c, err := nftables.New()
	if err == nil {
		_, err = c.ListTables()
	}
	r.OK, r.Detail = err == nil, "answers"
	if err != nil {
		r.Detail = fmt.Sprintf("does not answer (%v): load the module: modprobe nf_tables", err)
	}
	return r
}

func checkDevice(path, module, use string) Requirement {
	_, err := os.Stat(path)
	r := Requirement{Name: path, OK: err == nil, Optional: true, Detail: "is there"}
	if !r.OK {
		r.Detail = fmt.Sprintf("is missing: no %s; load the module: modprobe %s", use, module)
	}
	return r
}

// checkKubernetes looks for what container networks load on a machine and
// cannot load in a sandbox. The server loads none of it: br_netfilter changes
// what the machine's own bridges let through.
func checkKubernetes() Requirement {
	r := Requirement{Name: "Kubernetes inside", Optional: true}
	var missing []string
	for _, m := range []struct{ module, sign string }{
		{"br_netfilter", "/proc/sys/net/bridge"},
		{"ip_tables", "/proc/net/ip_tables_names"},
		{"vxlan", "/sys/module/vxlan"},
	} {
		if _, err := os.Stat(m.sign); err != nil {
			missing = append(missing, m.module)
		}
	}
	r.OK, r.Detail = len(missing) == 0, "bridges, VXLAN and iptables are known to the kernel"
	if !r.OK {
		r.Detail = "some of its networks will not work; load the modules: modprobe -a " + strings.Join(missing, " ")
		return r
	}
	return r
}

// checkSysctls tells what kubelets in sandboxes ask of the machine, and whether
// a server with this configuration makes it so.
func checkSysctls(set bool) Requirement {
	var settings []string
	for _, s := range differ(kubernetes) {
		settings = append(settings, fmt.Sprintf("%s (now %s)", s, s.now))
	}
	r := Requirement{Name: "kubelets inside", Optional: true}
	switch {
	case len(settings) == 0:
		r.OK, r.Detail = true, "the machine has the settings that they ask for"
	case set:
		r.OK, r.Detail = true, "the server will set "+strings.Join(settings, ", ")+" (host-sysctls: kubernetes)"
	default:
		r.Detail = "kubelets before 1.37 need their gate KubeletInUserNamespace, or a server with host-sysctls: kubernetes, which would set " + strings.Join(settings, ", ")
	}
	return r
}

// checkDataDir tries the nearest directory that exists.
func checkDataDir(dir string) Requirement {
	r := Requirement{Name: "data directory"}
	at := existing(dir)
	f, err := os.CreateTemp(at, ".daytona-check-*")
	if err != nil {
		r.Detail = fmt.Sprintf("%s can't be written: %v", dir, err)
		return r
	}
	f.Close()
	os.Remove(f.Name())
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		r.Detail = fmt.Sprintf("%s: %v", dir, err)
		return r
	}
	const need = 5 << 30
	free := st.Bavail * uint64(st.Bsize)
	r.OK, r.Detail = free >= need, fmt.Sprintf("%s, %d GiB free", dir, free>>30)
	if r.OK {
		return r
	}
	// One that is in use must open: its owner can make room only then.
	if _, err := os.Stat(filepath.Join(dir, disksDir)); err == nil {
		r.Optional, r.Urgent = true, true
		r.Detail += fmt.Sprintf(": pulls and builds end when less than %d GiB is left; delete snapshots or sandboxes", space.Reserve>>30)
		return r
	}
	r.Detail += fmt.Sprintf(": at least %d GiB are needed for a new one; choose another with --data-dir", need>>30)
	return r
}
