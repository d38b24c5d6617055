package objectstore

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// endpointID is the user and group of the process that speaks S3, and of the
// files that it keeps: the last before the ids of sandboxes begin, which no
// account of the host has.
const endpointID = 0x20000000 - 1

// endpointNamespaces are those that the process has of its own: it sees no
// other process and no network.
const endpointNamespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
	syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP

// The paths that the process has.
const (
	objectsPath = "/objects"
	socketPath  = "/run/s3"
)

// Limits of the process.
const (
	endpointMemory = 1 << 30 // bytes, beyond which it ends and is started again
	endpointFiles  = 4 * maxUploads
)

// confine leaves this process, root in namespaces of its own, nothing but the
// folder dir: no other file, no capability, the id of nobody. It holds for all
// threads. A way out of the folder that the library may have leads nowhere.
func confine(dir string) error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"set limits", limit},
		{"change root", func() error { return changeRoot(dir) }},
		{"drop privileges", dropPrivileges},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func limit() error {
	for resource, n := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: endpointFiles, unix.RLIMIT_DATA: endpointMemory} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	debug.SetMemoryLimit(endpointMemory / 2)
	// Memory that runs out is taken from here before it is from the server.
	return os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
}

// changeRoot makes a root that has the folder, a place for the socket and what
// /proc tells of this process, which the library needs to give a finished
// upload its name. Nothing in it is executed, and no link of the folder is
// followed.
func changeRoot(dir string) error {
	const inert = unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	folder, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(folder)
	attributes := unix.MountAttr{Attr_set: inert | unix.MOUNT_ATTR_NOSYMFOLLOW}
	if err := unix.MountSetattr(folder, "", unix.AT_EMPTY_PATH, &attributes); err != nil {
		return err
	}

	// The folder itself is where the new root is put together: nobody else sees
	// this mount.
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "size=64k,nr_inodes=16,mode=0711"); err != nil {
		return err
	}
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	for _, name := range []string{"objects", "run", "proc"} {
		if err := unix.Mkdir(name, 0o700); err != nil {
			return err
		}
	}
	if err := unix.Chown("run", endpointID, endpointID); err != nil {
		return err
	}
	if err := unix.MoveMount(folder, "", unix.AT_FDCWD, "objects", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	if err := unix.Mount("proc", "proc", "proc", flags, "subset=pid,hidepid=invisible"); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir("/")
}

func dropPrivileges() error {
	unix.Umask(0o077)
	// These are the calls of package syscall, which change all threads.
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setresgid(endpointID, endpointID, endpointID); err != nil {
		return err
	}
	if err := syscall.Setresuid(endpointID, endpointID, endpointID); err != nil {
		return err
	}
	// It was unset with the change of the user.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}
