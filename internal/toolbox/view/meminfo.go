package view

import (
	"fmt"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
)

// meminfo has the kernel's own lines (proc_meminfo(5)) with the sandbox's
// amounts. What the kernel does not count for a group is 0.
func (v *View) meminfo() string {
	kernel := v.machine("meminfo")
	m, ok := v.group.Memory()
	if !ok {
		return kernel
	}
	amounts := memoryLines(m)
	var b strings.Builder
	for line := range strings.Lines(kernel) {
		name, rest, _ := strings.Cut(line, ":")
		unit := "\n"
		if strings.HasSuffix(rest, " kB\n") {
			unit = " kB\n"
		}
		if ofTheArchitecture[name] {
			b.WriteString(line)
			continue
		}
		fmt.Fprintf(&b, "%-16s%8d%s", name+":", amounts[name]>>10, unit)
	}
	return b.String()
}

// ofTheArchitecture are lines that say nothing about use.
var ofTheArchitecture = map[string]bool{"Hugepagesize": true, "VmallocTotal": true}

// memoryLines are the amounts in bytes.
func memoryLines(m cgroup.Memory) map[string]uint64 {
	return map[string]uint64{
		"MemTotal": m.Limit, "MemFree": m.Limit - min(m.Limit, m.Used), "MemAvailable": m.Available(),
		"Cached": m.File, "Shmem": m.Shmem, "Mapped": m.Mapped, "Dirty": m.Dirty, "Writeback": m.Writeback,
		"Active": m.ActiveAnon + m.ActiveFile, "Active(anon)": m.ActiveAnon, "Active(file)": m.ActiveFile,
		"Inactive": m.InactiveAnon + m.InactiveFile, "Inactive(anon)": m.InactiveAnon, "Inactive(file)": m.InactiveFile,
		"Unevictable": m.Unevictable, "Mlocked": m.Unevictable,
		"AnonPages": m.Anon, "AnonHugePages": m.HugePages,
		"Slab": m.SlabReclaimable + m.SlabUnreclaimable, "SReclaimable": m.SlabReclaimable, "SUnreclaim": m.SlabUnreclaimable,
		"KReclaimable": m.SlabReclaimable, "KernelStack": m.KernelStack, "PageTables": m.PageTables,
		// Of what was promised only what is there is known.
		"CommitLimit": m.Limit, "Committed_AS": m.Anon + m.Shmem,
	}
}
