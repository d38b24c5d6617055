package local

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

func TestAFailedProbeSaysWhatMendsIt(t *testing.T) {
	p := &probe{Local: &Local{Options: Options{DataDir: "/srv/data", RuntimeDir: "/srv/run", Runtime: "runc"}}}
	p.runtime.path = "/usr/sbin/runc"
	inRuntime := func(text string) error { return fmt.Errorf("run container: exit status 1: %s", text) }
	for _, c := range []struct {
		err  error
		says string
	}{
		{fmt.Errorf("%w of 30s: run container: %w", engine.ErrStartTimeout, errors.New("killed")), "run the OCI runtime /usr/sbin/runc by hand"},
		{errors.Join(errProbeTime, errors.New("run step: killed")), "the check took more than 1m0s; run step: killed: something hangs"},
		{fmt.Errorf("%w: %w", engine.ErrNoSlot, slot.ErrNone), "stop some sandboxes"},
		{fmt.Errorf("prepare: %w", &os.PathError{Op: "open", Path: "/proc/sys/net/ipv4/ip_forward", Err: unix.EROFS}), "mounted read-only"},
		{fmt.Errorf("set sysctl net/ipv4/ip_forward: %w", &os.PathError{Op: "open", Path: "x", Err: unix.EROFS}), "/proc/sys is read-only"},
		{fmt.Errorf("make namespaces: %w", unix.ENOSPC), "sysctl user.max_user_namespaces=65536"},
		{fmt.Errorf("write: %w", unix.ENOSPC), "make room below /srv/data and /srv/run"},
		{errors.New("runtime directory /srv/run: its path is 14 bytes too long for sockets"), "choose a shorter one"},
		{errors.New("claim instance: all 16 instances of this machine are taken; see /run/daytona/instances"), "daytona server purge"},
		{fmt.Errorf("idmap mount /srv/data/x (does its filesystem know idmapped mounts?): %w", unix.EINVAL), "put the data directory on ext4, xfs or btrfs with --data-dir"},
		{fmt.Errorf("mount rootfs of disk x: create overlay: %w: overlayfs: failed to clone upperpath", unix.EINVAL), "overlayfs refuses the directories below /srv/data"},
		{fmt.Errorf("mount overlay on x: %w", unix.EACCES), "a security module forbids mounting"},
		{inRuntime(`error mounting "/srv/run/0/sandboxes/x/guest" to rootfs at "/.daytona": operation not permitted`), "mount -o remount,exec it, or choose another with --runtime-dir"},
		{inRuntime(`exec: "/.daytona/toolbox": permission denied`), "the agent may not be executed from /srv/run"},
		{inRuntime("both namespace path and non-matching mapping specified"), "install another version of it"},
		{inRuntime("unknown version specified"), "/usr/sbin/runc is too old"},
		{fmt.Errorf("make cgroup daytona0: enable the controllers cpu, memory, pids: %w", unix.ENOENT), "Delegate=yes in its unit"},
		{errors.New("the pids controller limits to 0, not 256"), "the controllers are not delegated"},
		{fmt.Errorf("make cgroup of sandbox x: %w", unix.EACCES), "--cgroupns=private"},
		{fmt.Errorf("install firewall: %w", unix.ENOENT), "modprobe -a nf_tables"},
		{fmt.Errorf("add link dt0-1: %w", unix.EOPNOTSUPP), "modprobe veth"},
		{inRuntime("seccomp: config provided but seccomp not supported"), "built without seccomp"},
		{fmt.Errorf("unshare mount namespace: %w", unix.EPERM), "--privileged"},
		{fmt.Errorf("chown x: %w", unix.EPERM), "root may not do it here"},
		{inRuntime("something else"), "/usr/sbin/runc refuses to run a container"},
		{errors.New("quite another thing"), "quite another thing: dmesg may say more"},
	} {
		got := p.explain(c.err)
		if !strings.Contains(got, c.says) {
			t.Errorf("%v:\n%s\nwithout %q", c.err, got, c.says)
		}
		if strings.Contains(got, "\n") || strings.Contains(got, "RUN") || strings.Contains(got, "DATA") {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}
