package view

import "fmt"

// file is one that the sandbox sees in place of the kernel's.
type file struct {
	name  string // in the filesystem
	path  string // it is bound over, below / of the sandbox
	write func(*View) string
	long  bool // it can be longer than a page
}

// files are all of them.
var files = []file{
	{"meminfo", "/proc/meminfo", (*View).meminfo, false},
	{"cpuinfo", "/proc/cpuinfo", (*View).cpuinfo, true},
	{"stat", "/proc/stat", (*View).stat, true},
	{"uptime", "/proc/uptime", (*View).uptime, false},
	{"loadavg", "/proc/loadavg", (*View).loadavg, false},
	{"swaps", "/proc/swaps", (*View).swaps, false},
	{"online", "/sys/devices/system/cpu/online", (*View).processors, false},
	{"possible", "/sys/devices/system/cpu/possible", (*View).processors, false},
	{"present", "/sys/devices/system/cpu/present", (*View).processors, false},
}

// swaps is an empty table: no sandbox has swap.
func (*View) swaps() string { return "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" }

// processors is the list of the sandbox's cores as the kernel writes one.
func (v *View) processors() string {
	if n := v.group.Cores(); n > 1 {
		return fmt.Sprintf("0-%d\n", n-1)
	}
	return "0\n"
}
