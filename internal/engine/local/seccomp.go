package local

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccompFilter forbids what a sandbox never needs and what has been a way out
// of user namespaces. All else is allowed: container engines inside need most
// of the kernel, and bring filters of their own.
func seccompFilter(goarch string) *specs.LinuxSeccomp {
	deny, missing := uint(unix.EPERM), uint(unix.ENOSYS)
	// Creating subvolumes and snapshots would leave the disk's quota group.
	subvolumes := []uint64{
		0x5000940e, // BTRFS_IOC_SUBVOL_CREATE
		0x50009401, // BTRFS_IOC_SNAP_CREATE
		0x50009418, // BTRFS_IOC_SUBVOL_CREATE_V2
		0x50009417, // BTRFS_IOC_SNAP_CREATE_V2
	}
	filter := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: architectures[goarch],
		Syscalls: []specs.LinuxSyscall{
			{
				Names: []string{
					"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module",
					"swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime", "clock_settime64",
					"stime", "ioperm", "iopl", "lookup_dcookie", "nfsservctl", "vm86", "vm86old", "uselib", "_sysctl",
					"get_kernel_syms", "query_module", "bdflush", "perf_event_open", "userfaultfd", "syslog",
				},
				Action: specs.ActErrno, ErrnoRet: &deny,
			},
			{
				// Programs take the error for an older kernel and do without.
				Names:  []string{"io_uring_setup", "io_uring_enter", "io_uring_register"},
				Action: specs.ActErrno, ErrnoRet: &missing,
			},
		},
	}
	for _, request := range subvolumes {
		filter.Syscalls = append(filter.Syscalls, specs.LinuxSyscall{
			Names: []string{"ioctl"}, Action: specs.ActErrno, ErrnoRet: &deny,
			// The kernel looks at the lower half only.
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0xffffffff, ValueTwo: request, Op: specs.OpMaskedEqual}},
		})
	}
	return filter
}

// architectures are those whose programs one kernel runs.
var architectures = map[string][]specs.Arch{
	"amd64": {specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
	"arm64": {specs.ArchAARCH64, specs.ArchARM},
}
