package local

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
)

// What root inside tries against the host. Each must fail, and be seen to.
func TestRootInsideIsNobodyOutside(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User = "root" })
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("host"), 0o600); err != nil {
		t.Fatal(err)
	}
	attempts := map[string]string{
		"write a sysctl of the host":              "echo x >/proc/sys/kernel/core_pattern",
		"write another sysctl of the host":        "echo 1 >/proc/sys/vm/drop_caches",
		"trigger the magic keys":                  "echo h >/proc/sysrq-trigger",
		"make a device":                           "mknod /tmp/disk b 254 0",
		"mount the host's disk":                   "mknod /tmp/d b 254 0 && mount /tmp/d /mnt",
		"read the host's memory":                  "dd if=/proc/kcore of=/dev/null bs=1 count=1",
		"read the kernel's log":                   "dmesg | grep .",
		"leave its control group":                 "mkdir /tmp/c && mount -t cgroup -o memory none /tmp/c && ls /tmp/c/daytona* | grep .",
		"set a release agent":                     "echo /bin/sh >/sys/fs/cgroup/memory/release_agent",
		"load a module":                           "insmod /bin/busybox",
		"set the clock":                           "date -s '2001-01-01 00:00'; test $(date +%Y) = 2001",
		"change the agent":                        "echo x >>/.daytona/toolbox",
		"make the agent's directory writable":     "mount -o remount,rw,bind /.daytona && touch /.daytona/x",
		"find the host's file by way of pid 1":    "cat /proc/1/root" + canary,
		"find the host's file by climbing":        "cat /../../../.." + canary,
		"find the host's file by the agent's fds": "for d in /proc/1/fd/*; do cat $d/.." + canary + " && exit 0; done; exit 1",
		"use a hidden device":                     "cat /dev/mem",
		"enter another user namespace":            "nsenter -U -t 1 true && cat /proc/sys/kernel/../../../" + canary,
	}
	maps.Copy(attempts, cgrouptest.RaiseLimits)
	for name, command := range attempts {
		out, err := f.do(s.ID, "("+command+") >/tmp/said 2>&1; echo exit $?")
		if err != nil || strings.Contains(out, `exit 0\n`) {
			said, _ := f.do(s.ID, "cat /tmp/said")
			t.Errorf("%s: %s, %v: %s", name, out, err, said)
		}
	}
	f.has(s.ID, "echo unharmed", "unharmed")
	if b, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || strings.TrimSpace(string(b)) == "x" {
		t.Errorf("core_pattern is %q, %v", b, err)
	}
}

func TestTheAgentCannotBeStoppedFromInside(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User = "root" })
	f.has(s.ID, "for s in STOP KILL SEGV TERM INT ABRT TSTP; do [ $s = TERM ] || kill -$s 1; done; echo sent", "sent")
	f.has(s.ID, "echo alive", "alive")
	f.has(s.ID, "head -c 20000000 /dev/zero | tr '\\0' x | wc -c", "20000000")
	f.has(s.ID, "echo alive", "alive")
}

func TestNeighboursAndTheHostsSocketsAreOutOfReach(t *testing.T) {
	f := open(t, nil)
	asRoot := func(s *engine.Spec) { s.User = "root" }
	one, two := f.create(asRoot), f.create(asRoot)
	f.has(one.ID, "id -u", "0")

	abstract, err := net.Listen("unix", "@daytona-isolation-test")
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	f.has(one.ID, "grep -c daytona-isolation-test /proc/net/unix; true", "0")

	// Each listens; neither hears the other.
	f.has(two.ID, "nc -l -p 7777 </dev/null >/dev/null 2>&1 & sleep 0.2; netstat -ltn | grep -c 7777", "1")
	address := f.slots.Adopt(f.slot(two.ID), false).Guest
	f.has(one.ID, fmt.Sprintf("nc -w 1 %s 7777 </dev/null; echo exit $?", address), "exit 1")

	// Processes and memory segments of one are none of the other's.
	f.has(one.ID, "ps | grep -c 'nc -[l]'; true", "0")
	f.has(two.ID, "ps | grep -c 'nc -[l]'; true", "1")
	host := fmt.Sprintf("/proc/%d/root/tmp", f.pid(two.ID))
	if err := os.WriteFile(filepath.Join(host, "mine"), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.has(two.ID, "cat /tmp/mine", "two")
	f.has(one.ID, "cat /tmp/mine; echo exit $?", "exit 1")
}

// The kernel counts message queues for each user in all namespaces that he made,
// and inotify instances, pending signals and more in the same way.
func TestASandboxLeavesOthersWhatTheKernelCountsForUsers(t *testing.T) {
	f := open(t, nil)
	asRoot := func(s *engine.Spec) { s.User = "root" }
	one, two := f.create(asRoot), f.create(asRoot)
	const fill = "for i in $(seq 100); do true >/dev/mqueue/$i || break; done 2>/dev/null; ls /dev/mqueue | wc -l"
	f.has(one.ID, "n=$("+fill+"); [ $n -gt 1 ] && [ $n -lt 100 ] && echo all", "all")
	f.has(two.ID, "n=$("+fill+"); [ $n -gt 1 ] && echo enough", "enough")
}

func TestARebootInsideEndsOnlyTheSandbox(t *testing.T) {
	f := open(t, nil)
	one, two := f.create(func(s *engine.Spec) { s.User = "root" }), f.create(nil)
	_, _ = f.do(one.ID, "reboot -f") // its answer goes with it
	if f.exit(one.ID, 10*time.Second) == nil {
		f.has(one.ID, "echo it was ignored", "ignored")
	}
	f.has(two.ID, "echo alive", "alive")
}
