package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
)

// v1 is a machine with cgroup v1, which has a tree for each controller instead
// of one for all. Everything that knows v1 from v2 is in this file.
type v1 struct {
	// mounts are the mount points of all trees, that of v2 in hybrid mode
	// included: processes are in each of them.
	mounts []string
	hybrid []string // the controllers of the tree of v2
}

// openV1 is nil on a machine with cgroup v2 alone.
func openV1() *v1 {
	if cgroups.Mode() == cgroups.Unified {
		return nil
	}
	v := &v1{hybrid: controllers(filepath.Join(root, "unified"))}
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.FSType, "cgroup") || filepath.Dir(m.Mountpoint) != root, false
	})
	if err != nil {
		return v // without controllers, which is said where they are looked for
	}
	for _, m := range found {
		v.mounts = append(v.mounts, m.Mountpoint)
	}
	return v
}

// Version names the version of the machine's control groups.
func Version() string {
	if openV1() != nil {
		return "v1"
	}
	return "v2"
}

// CheckRuntime says why an OCI runtime with this first line of --version cannot
// run sandboxes on this machine; knows is what it says of itself, nil for
// nothing.
func CheckRuntime(version string, knows *features.Cgroup) error {
	return openV1().checkRuntime(version, knows)
}

func (v *v1) checkRuntime(version string, knows *features.Cgroup) error {
	if v != nil && len(v.hybrid) > 0 && strings.HasPrefix(version, "crun version ") {
		return fmt.Errorf("crun starts nothing where cgroup v2 has controllers beside v1 (%s): use runc, or boot with cgroup v2 alone (systemd.unified_cgroup_hierarchy=1)", strings.Join(v.hybrid, ", "))
	}
	if knows == nil {
		return nil
	}
	needs, has := "v2", knows.V2
	if v != nil {
		needs, has = "v1", knows.V1
	}
	if has != nil && !*has {
		return fmt.Errorf("it does not know cgroup %s, which this machine has: use runc", needs)
	}
	return nil
}

func (v *v1) controllers() (all []string) {
	for _, m := range v.mounts {
		all = append(all, strings.Split(filepath.Base(m), ",")...)
	}
	return all
}

// dir is a group in a controller's tree. Where two controllers are mounted
// together, each name is a link.
func (*v1) dir(controller, group string) string { return filepath.Join(root, controller, group) }

func (v *v1) limitsSwap(parent string) bool {
	_, err := os.Stat(filepath.Join(v.dir("memory", parent), "memory.memsw.limit_in_bytes"))
	return err == nil
}

// kill kills one by one, and thaws: what the sandbox has frozen in groups of its
// own dies only then.
func (v *v1) kill(parent, id string) (left bool, err error) {
	for _, m := range v.mounts {
		err := eachGroup(filepath.Join(m, parent, id), func(dir string, pids []int) {
			for _, pid := range pids {
				left = true
				if pid > 0 {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
			if filepath.Base(m) == "freezer" {
				_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0) // or it goes, or it was
			}
		})
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

func (v *v1) freezer(group string) (file, freeze, thaw string) {
	return filepath.Join(v.dir("freezer", group), "freezer.state"), "FROZEN", "THAWED"
}

func (v *v1) frozen(group string) bool {
	file, freeze, _ := v.freezer(group)
	b, err := os.ReadFile(file)
	return err == nil && string(bytes.TrimSpace(b)) == freeze
}

// warm stays in any of this process's groups: the lock is one for all.
func (v *v1) warm(own map[string]string) {
	for controller, group := range own {
		if stay(v.dir(strings.TrimPrefix(controller, "name="), group)) == nil {
			return
		}
	}
}

// memoryStats are zero for a group that has gone. The kernel may lack the files
// of swap and of its own memory, without which the library would read nothing.
func (v *v1) memoryStats(group string) *stats.Metrics {
	m := &stats.Metrics{}
	if cgroup1.NewMemory(root, cgroup1.IgnoreModules("memsw", "kmem", "kmem.tcp")).Stat(group, m) != nil {
		return nil
	}
	return m
}

func (v *v1) oomKills(group string) int64 {
	return int64(v.memoryStats(group).GetMemoryOomControl().GetOomKill())
}

func (v *v1) memory(group string) int64 {
	m := v.memoryStats(group).GetMemory()
	return int64(m.GetUsage().GetUsage()) - int64(m.GetTotalInactiveFile())
}

// memoryLimit knows "no limit" by a number that is larger than any memory.
func (v *v1) memoryLimit(group string) int64 {
	n := limit(v.memoryStats(group).GetMemory().GetUsage().GetLimit())
	if n > 1<<62 {
		return 0
	}
	return n
}

// setMemory fails where the sandbox uses more. The limit of memory and swap
// together may at no moment be the smaller one; the library writes both in one
// order (it exchanges the wrong two), which raises neither.
func (v *v1) setMemory(group string, bytes int64) error {
	files := []string{"memory.limit_in_bytes"}
	if v.limitsSwap(group) {
		files = append(files, "memory.memsw.limit_in_bytes")
		if was := v.memoryLimit(group); was != 0 && bytes > was {
			slices.Reverse(files)
		}
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(v.dir("memory", group), name), strconv.AppendInt(nil, bytes, 10), 0); err != nil {
			return err
		}
	}
	return nil
}

func (v *v1) pidsLimit(group string) int64 {
	m := &stats.Metrics{}
	if cgroup1.NewPids(root).Stat(group, m) != nil {
		return 0
	}
	return limit(m.GetPids().GetLimit())
}

func (v *v1) cpuLimit(group string) float64 {
	quota, each, err := v.cpuQuota(v.dir("cpu", group))
	if err != nil || quota <= 0 || each == 0 {
		return 0
	}
	return float64(quota) / float64(each)
}

func (v *v1) setCPU(group string, cores float64) error {
	quota := int64(cores * period)
	shares := uint64(max(2, int64(cores*1024)))
	set := func() error {
		return cgroup1.NewCpu(root).Update(group, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Shares: &shares}})
	}
	err := set()
	if errors.Is(err, unix.EINVAL) {
		err = errors.Join(v.lowerInner(v.dir("cpu", group), cores), set())
	}
	return err
}

// lowerInner takes from the groups that the sandbox has made in its own what
// they have beyond that many cores: a group is refused less than what one below
// it has. (In v2 the lesser of both counts.)
func (v *v1) lowerInner(dir string, cores float64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		inner := filepath.Join(dir, e.Name())
		if err := v.lowerInner(inner, cores); err != nil { // first those below
			return err
		}
		quota, each, err := v.cpuQuota(inner)
		if ignoreGone(err) != nil {
			return err
		}
		if most := int64(cores * float64(each)); quota > most {
			if err := os.WriteFile(filepath.Join(inner, "cpu.cfs_quota_us"), []byte(strconv.FormatInt(most, 10)), 0); ignoreGone(err) != nil {
				return fmt.Errorf("lower the quota of an inner cgroup: %w", err)
			}
		}
	}
	return nil
}

// cpuQuota is in microseconds for each period; -1 without a limit.
func (v *v1) cpuQuota(dir string) (quota, each int64, err error) {
	for file, n := range map[string]*int64{"cpu.cfs_quota_us": &quota, "cpu.cfs_period_us": &each} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return 0, 0, err
		}
		if *n, err = strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err != nil {
			return 0, 0, fmt.Errorf("%s is %q", file, b)
		}
	}
	return quota, each, nil
}

// watchOOM waits by an eventfd that the kernel counts up when memory runs out.
func (v *v1) watchOOM(t *Tree, id string) (*OOMs, error) {
	group, err := cgroup1.Load(cgroup1.StaticPath(t.OCIPath(id)), cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) {
		return []cgroup1.Subsystem{cgroup1.NewMemory(root)}, nil
	}))
	if errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return nil, fmt.Errorf("%w: %w", err, os.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	fd, err := group.OOMEventFD()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(int(fd), true); err != nil {
		unix.Close(int(fd))
		return nil, err
	}
	return &OOMs{tree: t, id: id, seen: t.OOMKills(id), file: os.NewFile(fd, "oom")}, nil
}

// changed waits for a sign of the kernel and returns the number of kills.
func (v *v1) changed(o *OOMs) (int64, error) {
	if _, err := o.file.Read(make([]byte, 8)); err != nil {
		return 0, err
	}
	// The sign comes just before the kill, and also when the group goes.
	for range 20 {
		if now := o.tree.OOMKills(o.id); now > o.seen {
			return now, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	_, err := os.Stat(v.dir("memory", o.tree.OCIPath(o.id)))
	return o.seen, err
}
