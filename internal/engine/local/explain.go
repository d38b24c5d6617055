package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// remedy is what to do about failures of a kind. The OCI runtime and the kernel
// tell of themselves in text only.
type remedy struct {
	is   error    // in the chain, if set
	says []string // all of them, in the text
	do   string   // with DATA, RUNTIME and RUNC in place of the paths
}

// remedies are in the order of their precision: the first that fits is told.
var remedies = []remedy{
	{is: engine.ErrStartTimeout, do: hanging},
	{is: errProbeTime, do: hanging},
	{is: context.DeadlineExceeded, do: hanging},
	{is: slot.ErrNone, do: "all network slots are taken: stop some sandboxes"},
	{is: unix.EROFS, says: []string{"sysctl"}, do: "/proc/sys is read-only: run the server on the machine itself, or in a container with --privileged"},
	{is: unix.EROFS, do: "a filesystem is mounted read-only: mount it writable (mount -o remount,rw), or choose other directories with --data-dir and --runtime-dir"},
	{is: unix.ENOSPC, says: []string{"make namespaces"}, do: "the machine allows no more namespaces: sysctl user.max_user_namespaces=65536 user.max_net_namespaces=65536"},
	{is: unix.ENOSPC, do: "a disk is full: make room below DATA and RUNTIME"},
	{says: []string{"too long for sockets"}, do: "choose a shorter one with --runtime-dir"},
	{says: []string{"instances of this machine are taken"}, do: "end a server that is not needed (daytona server purge)"},
	{says: []string{"does its filesystem know idmapped mounts?"}, do: "the filesystem of DATA cannot change owners for a sandbox: put the data directory on ext4, xfs or btrfs with --data-dir; in a container, on a volume"},
	{says: []string{"overlay", "permission denied"}, do: "a security module forbids mounting: look at dmesg for AppArmor or SELinux"},
	{says: []string{"overlay"}, do: "overlayfs refuses the directories below DATA, which must lie on a filesystem of a disk such as ext4, xfs or btrfs: choose another with --data-dir; modprobe overlay; dmesg says more"},
	{says: []string{"/.daytona", "operation not permitted"}, do: "RUNTIME is on a mount that forbids too much (noexec, nosuid or nodev): mount -o remount,exec it, or choose another with --runtime-dir"},
	{says: []string{"/.daytona/toolbox", "permission denied"}, do: "the agent may not be executed from RUNTIME: mount -o remount,exec it, or choose another with --runtime-dir; dmesg tells whether AppArmor or SELinux forbids it"},
	{says: []string{"both namespace path and non-matching mapping"}, do: "RUNC does not take namespaces that are made for it: install another version of it, or name another with --runtime"},
	{says: []string{"unknown version"}, do: "RUNC is too old: install runc 1.1 or newer, or name another with --runtime"},
	{says: []string{"enable the controllers"}, do: "the controllers are not delegated to this server: Delegate=yes in its unit; in a container, --cgroupns=private --privileged"},
	{says: []string{"controller limits to"}, do: "another program changes control groups of sandboxes, or the controllers are not delegated: Delegate=yes in the server's unit"},
	{says: []string{"cgroup"}, do: "control groups cannot be made or entered: Delegate=yes in the server's unit; in a container, --cgroupns=private --privileged; on the kernel's command line, cgroup_enable=memory"},
	{says: []string{"install firewall"}, do: "the packet filter refuses its rules: modprobe -a nf_tables nft_chain_nat nft_ct nft_masq nft_redir"},
	{says: []string{"add link"}, do: "links for sandboxes cannot be made: modprobe veth"},
	{says: []string{"seccomp"}, do: "RUNC was built without seccomp, or the kernel was (CONFIG_SECCOMP_FILTER): install your distribution's runc"},
	{says: []string{"apparmor"}, do: "AppArmor forbids it: dmesg tells what, aa-status which profile"},
	{says: []string{"unshare"}, do: "the server may not make namespaces: run it as root on the machine itself, or in a container with --privileged"},
	{is: unix.EPERM, do: "root may not do it here: run the server on the machine itself, or in a container with --privileged; dmesg tells whether AppArmor or SELinux forbids it"},
	{is: unix.EACCES, do: "root may not do it here: dmesg tells whether AppArmor or SELinux forbids it"},
	{says: []string{"operation not permitted"}, do: "the kernel forbids it: dmesg tells whether AppArmor or SELinux does; in a container, --privileged"},
	{says: []string{"run container"}, do: "RUNC refuses to run a container: dmesg may say more; try the runc of your distribution, or crun, with --runtime"},
}

const hanging = "something hangs: run the OCI runtime RUNC by hand, look at dmesg, and try again when the machine is less busy"

// lastResort is for failures of no known kind.
const lastResort = "dmesg may say more"

// explain is an error of the probe as people read it: what failed, and what
// mends it.
func (p *probe) explain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if errors.Is(err, errRuntime) {
		return text
	}
	do := lastResort
	for _, r := range remedies {
		if r.fits(err, text) {
			do = r.do
			break
		}
	}
	runtime := p.runtime.path
	if runtime == "" {
		runtime = p.Runtime
	}
	do = strings.NewReplacer("DATA", p.DataDir, "RUNTIME", p.RuntimeDir, "RUNC", runtime).Replace(do)
	if flags := forbids(p.RuntimeDir); flags != "" && strings.Contains(text+do, p.RuntimeDir) {
		do = fmt.Sprintf("%s is mounted %s; %s", p.RuntimeDir, flags, do)
	}
	return text + ": " + do
}

func (r remedy) fits(err error, text string) bool {
	if r.is != nil && !errors.Is(err, r.is) {
		return false
	}
	text = strings.ToLower(text)
	for _, s := range r.says {
		if !strings.Contains(text, strings.ToLower(s)) {
			return false
		}
	}
	return true
}

// forbids names what the mount at path, or at the nearest directory above it,
// does not allow; "" for nothing.
func forbids(path string) string {
	var st unix.Statfs_t
	for unix.Statfs(path, &st) != nil {
		if path == "/" || path == "." {
			return ""
		}
		path = filepath.Dir(path)
	}
	var flags []string
	for _, f := range []struct {
		bit  int64
		name string
	}{{unix.ST_RDONLY, "read-only"}, {unix.ST_NOEXEC, "noexec"}, {unix.ST_NOSUID, "nosuid"}, {unix.ST_NODEV, "nodev"}} {
		if st.Flags&f.bit != 0 {
			flags = append(flags, f.name)
		}
	}
	return strings.Join(flags, ", ")
}
