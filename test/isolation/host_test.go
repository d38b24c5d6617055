package isolation

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	network "github.com/opendaytona/daytona/internal/engine/local/slot/testnet"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

const secret = "only the host knows\n"

// canary is a file on the host that no sandbox may read, and its handle.
func canary(t *testing.T, dir string) (path, handle string) {
	t.Helper()
	path = filepath.Join(dir, "canary")
	if err := os.WriteFile(path, []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	return path, fmt.Sprintf("%d:%s", h.Type(), hex.EncodeToString(h.Bytes()))
}

// pool is where a server's disks are mounted, in a namespace that root can see.
func pool(t *testing.T, s *serve.Server) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Data, "disks", "mnt"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the disks are mounted at %v, %v", found, err)
	}
	return found[0]
}

// key is one of root's on the host.
func key(t *testing.T) int {
	t.Helper()
	serial, err := unix.AddKey("user", fmt.Sprintf("isolation-%d", os.Getpid()), []byte(secret), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		t.Fatal(err)
	}
	const ownerAll = 0x3f3f0000
	if err := unix.KeyctlSetperm(serial, ownerAll); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, serial, unix.KEY_SPEC_USER_KEYRING, 0, 0) })
	return serial
}

// bystander is a process of the host's.
func bystander(t *testing.T) (pid string) {
	t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Process.Signal(unix.Signal(0)); err != nil {
			t.Errorf("a process of the host's ended: %v", err)
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return strconv.Itoa(c.Process.Pid)
}

// listeners is where a process listens for TCP connections, on every address.
func listeners(t *testing.T, pid int) (ports []string) {
	t.Helper()
	out, err := exec.Command("ss", "-Hltnp").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); strings.Contains(line, fmt.Sprintf("pid=%d,", pid)) {
			_, port, err := net.SplitHostPort(fields[3])
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, port)
		}
	}
	return ports
}

// addresses are the host's, but for those of sandboxes' links, which other
// servers on the machine make and remove.
func addresses(t *testing.T) (all []string) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		found, err := l.Addrs()
		if err != nil || strings.HasPrefix(l.Name, "dt") {
			continue
		}
		for _, a := range found {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
				all = append(all, n.IP.String())
			}
		}
	}
	return all
}

// The host's link to what outside makes, and addresses there.
const (
	outsideLink = "isol1"

	beyond    = "198.18.79.2:80"
	beyond6   = "[fdb7:3d11:c04a:79::2]:80"
	linkLocal = "169.254.79.2:80"
	metadata6 = "[fd00:ec2::254]:80"
)

// outside makes a machine beyond this one with the addresses that metadata
// services have, and others. What is on the link is reached by forwarding. It
// comes before the server, whose sandboxes have IPv6 because of it.
func outside(t *testing.T) {
	t.Helper()
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	four, six := netip.MustParseAddrPort(beyond).Addr(), netip.MustParseAddrPort(beyond6).Addr()
	name := network.Network(t, outsideLink, four, six)
	ip("addr", "add", "169.254.79.1/30", "dev", outsideLink)
	ip("-n", name, "addr", "add", "169.254.79.2/30", "dev", "eth0")
	ip("-n", name, "route", "add", "default", "via", four.Prev().String())
	ip("-n", name, "addr", "add", netip.MustParseAddrPort(metadata6).Addr().String()+"/128", "dev", "lo", "nodad")
	ip("-6", "route", "add", netip.MustParseAddrPort(metadata6).Addr().String(), "via", six.String(), "dev", outsideLink)
	server := exec.Command("ip", "netns", "exec", name, "busybox", "httpd", "-f", "-p", "80", "-h", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for range 100 {
		c, err := net.DialTimeout("tcp", beyond, serve.Slow(time.Second))
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(serve.Slow(20 * time.Millisecond))
	}
	t.Fatal("the machine outside does not answer")
}

// echo is a service of the host's on every address and group, by UDP.
func echo(t *testing.T) (port string) {
	t.Helper()
	c, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(b[:n], from)
		}
	}()
	_, port, _ = net.SplitHostPort(c.LocalAddr().String())
	return port
}

// linkOf is the link with an address of the host's.
func linkOf(t *testing.T, address string) string {
	t.Helper()
	out, err := exec.Command("ip", "-o", "addr", "show", "to", address).Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 {
		t.Fatalf("the link of %q: %v: %s", address, err, out)
	}
	return fields[1]
}

// attemptsAgainst are all that a sandbox of s or a build step may try.
func attemptsAgainst(t *testing.T, s *serve.Server, served string, neighbour *daytona.Sandbox) []attempt {
	t.Helper()
	onDisk := t.TempDir()
	if err := os.Chmod(onDisk, 0o755); err != nil {
		t.Fatal(err)
	}
	file, handle := canary(t, onDisk)
	disks := pool(t, s)
	neighbourFile, neighbourHandle := canary(t, disks)
	_, runHandle := canary(t, "/run")
	abstract := fmt.Sprintf("@isolation-%d", os.Getpid())
	l, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	major, minor := disk(t, s)
	pid := bystander(t)
	serial := strconv.Itoa(key(t))
	writableFile := filepath.Join(onDisk, "writable")
	if err := os.WriteFile(writableFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	all := []attempt{
		{name: "read a file of the host", args: []string{"read", file, secret}},
		{name: "read a file among the disks", args: []string{"read", neighbourFile, secret}},
		{name: "open a file of the host by its handle", args: []string{"read-handle", handle, secret}},
		{name: "open a file on the sandboxes' filesystem by its handle", args: []string{"read-handle", neighbourHandle, secret}},
		{name: "open a file in /run by its handle", args: []string{"read-handle", runHandle, secret}},
		{name: "open the sandboxes' disk as a device", args: []string{"open-device", "b", major, minor}},
		{name: "open the kernel's log as a device", args: []string{"open-device", "c", "1", "11"}},
		{name: "take a loop device", args: []string{"loop"}},
		{name: "set where core dumps go", args: []string{"rewrite", "/proc/sys/kernel/core_pattern"}},
		{name: "set the program that loads modules", args: []string{"rewrite", "/proc/sys/kernel/modprobe"}},
		{name: "set a limit of memory of the machine", args: []string{"rewrite", "/proc/sys/vm/overcommit_memory"}},
		{name: "set the program for hotplug", args: []string{"rewrite", "/sys/kernel/uevent_helper"}},
		{name: "lift its own limits", args: append([]string{"raise-limits"}, "/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu"),
			onHost: append([]string{"raise-limits"}, ownGroups(t)...)},
		{name: "set a release agent", args: []string{"release-agent"}},
		{name: "overwrite the agent", args: []string{"overwrite", "/.daytona/toolbox"}, onHost: []string{"overwrite", writableFile}},
		{name: "read the kernel's log", args: []string{"kernel-log"}},
		{name: "signal a process of the host", args: []string{"signal", pid}},
		{name: "trace a process of the host", args: []string{"trace", pid}},
		{name: "read a key of the host's root", args: []string{"read-key", serial}},
		{name: "load a module", args: []string{"load-module"}},
		{name: "unload a module", args: []string{"unload-module"}},
		{name: "load a BPF program that traces", args: []string{"load-bpf"}},
		{name: "list the BPF programs of the machine", args: []string{"list-bpf"}},
		{name: "count the machine's events", args: []string{"perf"}},
		{name: "handle page faults", args: []string{"userfaultfd"}},
		{name: "set up io_uring", args: []string{"io-uring"}},
		{name: "make a subvolume", args: []string{"subvolume", "/data"}, onHost: []string{"subvolume", disks}},
		{name: "search the filesystem of all disks", args: []string{"search-tree", "/data"}, onHost: []string{"search-tree", disks}},
		{name: "reach an abstract socket of the host", args: []string{"connect", "unix", abstract}},
		{name: "reach a metadata service", args: []string{"connect", "tcp", linkLocal}},
		{name: "reach a metadata service by IPv6", args: []string{"connect", "tcp", metadata6}},
	}
	ports := listeners(t, s.Process.Process.Pid)
	if len(ports) == 0 {
		t.Fatal("the server listens nowhere")
	}
	gateway := strings.TrimSpace(run(t, neighbour, "ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'"))
	gateway6 := strings.TrimSpace(run(t, neighbour, "ip -6 route | sed -n 's/^default via \\([0-9a-f:]*\\).*/\\1/p'"))
	link := linkOf(t, gateway6)
	asked := echo(t)
	all = append(all,
		attempt{name: "reach the server at the link-local address of its end", args: []string{"connect", "tcp", net.JoinHostPort("fe80::1%eth0", served)}, onHost: []string{"connect", "tcp", net.JoinHostPort("fe80::1%"+link, served)}},
		attempt{name: "ask the host at the link-local address of its end", args: []string{"ask", net.JoinHostPort("fe80::1%eth0", asked)}, onHost: []string{"ask", net.JoinHostPort("fe80::1%"+link, asked)}},
		attempt{name: "ask all nodes of its link", args: []string{"ask", net.JoinHostPort("ff02::1%eth0", asked)}, onHost: []string{"ask", net.JoinHostPort("ff02::1%"+outsideLink, asked)}},
	)
	for _, a := range append(addresses(t), gateway, gateway6) {
		all = append(all, attempt{name: "reach the server at " + a, args: []string{"connect", "tcp", net.JoinHostPort(a, served)}})
	}
	for _, p := range ports {
		all = append(all, attempt{name: "reach the server's port " + p + " of the loopback", args: []string{"connect", "tcp", net.JoinHostPort("127.0.0.1", p)}})
	}
	// The neighbour's own service, which the neighbour reaches.
	run(t, neighbour, "/hostile listen :7979 </dev/null >/dev/null 2>&1 & sleep 0.3; /hostile connect tcp 127.0.0.1:7979")
	for _, find := range []string{
		"ip route get 198.18.79.2 | sed -n 's/.* src \\([0-9.]*\\).*/\\1/p'",
		"ip -6 addr show dev eth0 | sed -n 's/.*inet6 \\([0-9a-f:]*\\).* scope global.*/\\1/p'",
	} {
		address := strings.TrimSpace(run(t, neighbour, find))
		if net.ParseIP(address) == nil {
			t.Fatalf("the neighbour's address is %q", address)
		}
		all = append(all, attempt{name: "reach a neighbour at " + address, args: []string{"connect", "tcp", net.JoinHostPort(address, "7979")}, onHost: []string{"connect", "tcp", net.JoinHostPort("127.0.0.1", served)}})
	}
	return all
}

func TestNoAttemptWorksInside(t *testing.T) {
	serve.LeavesNothing(t)
	outside(t)
	port := freePort(t)
	s := serve.New(t, "--listen", ":"+port)
	s.Snapshot("plain", addImages(t, s))
	one, two := box(s, "plain"), box(s, "plain")
	before, limits := machine(t), groups(t, one.ID)
	attempts := work(t, attemptsAgainst(t, s, port, two))
	for _, address := range []string{beyond, beyond6} { // the network is there
		run(t, one, "/hostile connect tcp "+address)
	}
	text := shellescape.Quote(list(t, attempts, false))
	fail(t, "sandbox", attempts, run(t, one, "/hostile all "+text))
	fail(t, "namespaces in a sandbox", attempts, run(t, one, "/hostile nested all "+text))

	t.Run("build step", func(t *testing.T) {
		var said strings.Builder
		image := daytona.Base("fixtures/hostile:1").AddLocalFile(hostile, "/hostile").
			RunCommands("mkdir -p /data; chmod 755 /hostile; /hostile all "+text, "/hostile nested all "+text+" | sed s/HOSTILE/NESTED/")
		if _, err := s.Client.Snapshot.Create(serve.Within(t, 2*time.Minute), daytona.CreateSnapshotParams{Name: "built", Build: image},
			func(line string) { said.WriteString(line + "\n") }); err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
		fail(t, "build step", attempts, said.String())
		fail(t, "namespaces in a build step", attempts, strings.ReplaceAll(strings.ReplaceAll(said.String(), "HOSTILE", ""), "NESTED", "HOSTILE"))
	})
	if after := machine(t); !maps.Equal(before, after) {
		t.Errorf("the machine has changed: %v, before %v", after, before)
	}
	if after := groups(t, one.ID); !maps.Equal(limits, after) {
		t.Errorf("the limits have changed: %v, before %v", after, limits)
	}
	run(t, two, "true")
}

// ours is what a sandbox's root may write in /proc and /sys: what belongs to
// its namespaces or to its processes; cgrouptest.Delegated is what belongs to its
// control group.
var ours = regexp.MustCompile(`^/proc/sys/(net|user|fs/(binfmt_misc|mqueue))/` +
	`|^/proc/sys/kernel/(hostname|domainname|msg\w*|sem\w*|shm\w*|auto_msgmni|ns_last_pid|sem_next_id|pid_max)$` + // pid_max is the pid namespace's since Linux 6.14
	`|^/sys/devices/virtual/net/|^/proc/sys/kernel/overflow`)

func TestNothingOfTheMachineCanBeWrittenInProcAndSys(t *testing.T) {
	const known = "/proc/sys/vm/overcommit_memory"
	out, err := exec.Command(hostile, "writable", filepath.Dir(known)).Output()
	if err != nil || !strings.Contains(string(out), known) {
		t.Fatalf("on the host: %v: %s", err, out)
	}
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	b := box(s, "plain")
	delegated := cgrouptest.Delegated()
	for line := range strings.Lines(run(t, b, "/hostile writable /proc/sys /sys; for f in /proc/*; do [ -f $f ] && /hostile writable $f; done; true")) {
		if line = strings.TrimSpace(line); !ours.MatchString(line) && !delegated.MatchString(line) {
			t.Errorf("a sandbox can write %s", line)
		}
	}
}

// What a sandbox leaves on its disk is the host's root's, by its numbers.
func TestProgramsLeftOnADiskGiveNobodyOnTheHostPower(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	b := box(s, "plain")
	run(t, b, "mkdir -m 777 /left; cp /hostile /left/suid; chown 0:0 /left/suid; chmod 6755 /left/suid; chmod 755 /")
	var found string
	err := filepath.WalkDir(s.Data, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "suid" {
			found = path
		}
		return nil
	})
	if err != nil || found == "" {
		t.Fatalf("the program is nowhere: %v", err)
	}
	asNobody := func(program string) (string, error) {
		c := exec.Command(program, "uid")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	control := filepath.Join("/var/tmp", fmt.Sprintf("isolation-suid-%d", os.Getpid()))
	if out, err := exec.Command("install", "-m", "4755", hostile, control).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer os.Remove(control)
	if out, err := asNobody(control); err != nil || out != "0" {
		t.Fatalf("a setuid program of the host does not work: %v: %s", err, out)
	}
	if out, err := asNobody(found); err == nil {
		t.Errorf("somebody on the host ran a sandbox's program %s as %s", found, out)
	}
}

// What docs/security.md says that others on the machine can do: who reaches the
// machine's addresses reaches those of sandboxes.
func TestAnotherAccountOfTheMachineReachesASandboxesPorts(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	b := box(s, "plain")
	run(t, b, "mkdir /served && echo inside >/served/told && busybox httpd -p 8000 -h /served")
	address := strings.TrimSpace(run(t, b, "ip -4 -o addr show dev eth0 | awk '{print $4}' | cut -d/ -f1"))
	for _, uid := range []uint32{0, 65534} {
		c := exec.CommandContext(serve.Within(t, 10*time.Second), "busybox", "wget", "-q", "-O", "-", "http://"+net.JoinHostPort(address, "8000")+"/told")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if out, err := c.CombinedOutput(); err != nil || string(out) != "inside\n" {
			t.Errorf("uid %d reads %q: %v", uid, out, err)
		}
	}
}
