package local

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/opendaytona/daytona/internal/engine/local/slot"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// guestDir of a sandbox's directory is seen inside as boot.Dir.
const guestDir = "guest"

// writeSpec writes the OCI runtime configuration into the bundle.
func (l *Local) writeSpec(b *bundle) error {
	text, err := json.Marshal(l.ociSpec(b))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o600); err != nil {
		return fmt.Errorf("write OCI configuration: %w", err)
	}
	return nil
}

// ociSpec is a container whose root has every capability, but only in the user
// namespace of its slot: so that Docker or Kubernetes run inside, nothing of
// /proc and /sys is hidden and nothing is read-only. What the kernel guards by
// the user namespace is all there is, plus the filter of seccomp.go.
func (l *Local) ociSpec(b *bundle) *specs.Spec {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(b.slot.HostID), Size: slot.IDs}}
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			User: specs.User{UID: 0, GID: 0},
			Args: []string{boot.Path},
			Env:  []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Cwd:  "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding: capabilities, Effective: capabilities, Permitted: capabilities,
			},
			Rlimits: l.rlimits(),
		},
		Root:     &specs.Root{Path: filepath.Join(l.dir, rootTarget)},
		Hostname: b.spec.Hostname,
		Mounts:   l.mounts(b),
		Linux: &specs.Linux{
			UIDMappings: ids,
			GIDMappings: ids,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace, Path: userPath(b.slot.User)},
				{Type: specs.NetworkNamespace, Path: fdPath(b.slot.Net)},
				{Type: specs.PIDNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.CgroupNamespace},
			},
			CgroupsPath: l.cgroups.OCIPath(b.spec.ID),
			Resources:   l.resources(b),
			Devices:     devices(),
			Sysctl: map[string]string{
				"net.ipv4.ip_unprivileged_port_start": "0",
				"net.ipv4.ping_group_range":           fmt.Sprintf("0 %d", slot.IDs-1),
			},
			Seccomp: seccompFilter(runtime.GOARCH),
		},
	}
}

// rlimits are those that the OCI runtime sets; the agent does where it may not.
func (l *Local) rlimits() []specs.POSIXRlimit {
	if l.agentLimits {
		return nil
	}
	return []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: l.openFiles(), Hard: l.files}}
}

// fdPath is a descriptor of this process as another process opens it.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

// userPath is fdPath for a user namespace. From 1.1.11 on, runc takes any path
// that begins with /proc/<pid>/ for that process's own namespace, and reads its
// id maps without joining it (GetUserNamespaceMappings in libcontainer/userns).
func userPath(f *os.File) string { return fmt.Sprintf("/proc/./%d/fd/%d", os.Getpid(), f.Fd()) }

func (l *Local) mounts(b *bundle) []specs.Mount {
	shm := "size=50%" // of the machine's memory, which counts against the sandbox's limit
	if m := b.spec.Resources.Memory; m > 0 {
		shm = fmt.Sprintf("size=%d", m/2)
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", shm}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime"}},
		// Kubernetes' kubelet does not start without it; the host's own log is
		// nobody's business here.
		{Destination: "/dev/kmsg", Type: "bind", Source: "/dev/null", Options: []string{"bind"}},
		{Destination: boot.Dir, Type: "bind", Source: filepath.Join(b.dir, guestDir), Options: []string{"bind", "ro", "nosuid", "nodev"}},
	}
	for _, path := range b.volumes {
		mounts = append(mounts, specs.Mount{
			Destination: path, Type: "bind", Source: filepath.Join(l.dir, diskTarget, volumeDir(path)), Options: []string{"bind", "nodev"},
		})
	}
	return mounts
}

// cpuPeriod is the kernel's default, in microseconds.
const cpuPeriod = 100_000

func (l *Local) resources(b *bundle) *specs.LinuxResources {
	want := b.spec.Resources
	// A user namespace makes no device nodes; the rule lets containers inside
	// set rules of their own in cgroup v1.
	r := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	if want.CPU > 0 {
		period, quota := uint64(cpuPeriod), int64(want.CPU*cpuPeriod)
		shares := max(2, uint64(want.CPU*1024))
		r.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota, Shares: &shares}
	}
	if want.Memory > 0 {
		memory := want.Memory
		r.Memory = &specs.LinuxMemory{Limit: &memory}
		if l.cgroups.LimitsSwap() {
			r.Memory.Swap = &memory // of memory and swap together: no swap
		}
	}
	if want.PIDs > 0 {
		pids := want.PIDs
		r.Pids = &specs.LinuxPids{Limit: &pids}
	}
	return r
}

// devices are those beyond the OCI defaults. In a user namespace they are
// bound from the host, so only those that are there can be given.
func devices() []specs.LinuxDevice {
	mode := os.FileMode(0o666)
	var all []specs.LinuxDevice
	for _, d := range []specs.LinuxDevice{
		{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode},
		{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode},
	} {
		if _, err := os.Stat(d.Path); err == nil {
			all = append(all, d)
		}
	}
	return all
}

// capabilities are all of capabilities(7). In a user namespace each is power
// over what belongs to the namespace only.
var capabilities = []string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN",
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
	"CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE",
	"CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM",
}
