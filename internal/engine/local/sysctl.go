package local

import (
	"strings"

	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// sysctl is a setting of the machine's kernel, below /proc/sys.
type sysctl struct{ key, value string }

// kubernetes are the settings that a kubelet makes at its start (they are in
// its container manager). They belong to no namespace, so one in a sandbox
// cannot, and ends unless it finds them made: before Kubernetes 1.37, or
// without its gate KubeletInUserNamespace. Two of them decide what the whole
// machine does when its kernel fails: only its owner may ask for that.
var kubernetes = []sysctl{
	{"vm/overcommit_memory", "1"},
	{"vm/panic_on_oom", "0"},
	{"kernel/panic", "10"},
	{"kernel/panic_on_oops", "1"},
	{"kernel/keys/root_maxkeys", "1000000"},
	{"kernel/keys/root_maxbytes", "25000000"},
}

// change is a setting that has another value on this machine.
type change struct {
	sysctl
	now string
}

// differ are the settings that have another value on this machine.
func differ(wanted []sysctl) (all []change) {
	for _, s := range wanted {
		if now, err := slot.Sysctl(s.key); err == nil && now != s.value {
			all = append(all, change{s, now})
		}
	}
	return all
}

// setSysctls makes the machine's settings what Kubernetes in sandboxes needs.
// Where they are read-only, as in a container, everything else goes on.
func (l *Local) setSysctls() {
	for _, s := range differ(kubernetes) {
		if err := slot.SetSysctl(s.key, s.value); err != nil {
			l.Log.Warn("kubelets in sandboxes need a setting of the machine that cannot be changed", "err", err)
			continue
		}
		l.Log.Info("changed a setting of the machine for kubelets in sandboxes (host-sysctls: kubernetes)", "sysctl", s.String(), "was", s.now)
	}
}

// String is the setting as sysctl(8) takes it.
func (s sysctl) String() string { return strings.ReplaceAll(s.key, "/", ".") + "=" + s.value }
