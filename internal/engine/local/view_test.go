package local

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/opendaytona/daytona/internal/engine"
)

// sizes are the kB of memory, the processors by cpuinfo, stat and sysfs, and
// whether less than a minute has passed since the start.
const sizes = `awk '/^MemTotal/ {print $2}' /proc/meminfo; grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat
	cat /sys/devices/system/cpu/online /sys/devices/system/cpu/possible /sys/devices/system/cpu/present; awk '{print ($1 < 60)}' /proc/uptime; cat /proc/swaps | wc -l`

func told(kB, cores int) string {
	list := "0"
	if cores = min(cores, runtime.NumCPU()); cores > 1 {
		list = fmt.Sprintf("0-%d", cores-1)
	}
	return fmt.Sprintf(`%d\n%d\n%d\n%s\n%s\n%s\n1\n1\n`, kB, cores, cores, list, list, list)
}

func TestASandboxSeesItsOwnSize(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User = "root" })
	f.has(s.ID, sizes, told(256<<10, 1))
	s.Resources.CPU, s.Resources.Memory = 2, 512<<20
	if err := f.Resize(t.Context(), s.ID, s.Resources); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, sizes, told(512<<10, 2))

	// sendfile, which cat takes here, and programs that read in small pieces.
	f.has(s.ID, "cat /proc/stat | head -c 5; dd if=/proc/meminfo bs=7 2>/dev/null | head -c 9; tail -n 1 /proc/cpuinfo | wc -l", `cpu  MemTotal:1`)
	// What is used is the sandbox's.
	f.has(s.ID, "dd if=/dev/zero of=/dev/shm/fill bs=1M count=100 2>/dev/null; awk '/^Shmem:/ {print ($2 >= 102400 && $2 < 112640)} /^MemFree:/ {print ($2 < 421888)}' /proc/meminfo; rm /dev/shm/fill", `1\n1\n`)
	f.has(s.ID, "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; awk '/^cpu / {print ($2+$4 > 20 && $2+$4 < 1000)}' /proc/stat; awk '{print ($1 < 2)}' /proc/loadavg", `1\n1\n`)

	// The next server finds it so, and a restart starts anew.
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.has(s.ID, sizes, told(512<<10, 2))
	if err := f.Stop(t.Context(), s.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, sizes, told(512<<10, 2))
}

// Programs inside take what they like away, and only from themselves.
func TestTheViewIsTheSandboxesToChange(t *testing.T) {
	f := open(t, nil)
	s, other := f.create(func(s *engine.Spec) { s.User = "root" }), f.create(nil)
	f.has(s.ID, "unshare -Urmpfn sh -c 'mount -t proc proc /proc && grep -c MemTotal /proc/meminfo && mount -t sysfs sys /sys && cat /sys/devices/system/cpu/kernel_max >/dev/null && echo mounted'", `1\nmounted`)
	f.has(s.ID, "umount /proc/meminfo && mount -t tmpfs none /sys && umount /.daytona/view && echo x >/tmp/cpuinfo && mount --bind /tmp/cpuinfo /proc/cpuinfo && cat /proc/cpuinfo", `x`)
	f.has(s.ID, "echo alive; cat /proc/stat | wc -l", "alive")
	f.has(other.ID, sizes, told(256<<10, 1))
}
