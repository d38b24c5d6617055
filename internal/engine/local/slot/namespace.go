package slot

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// newNamespaces makes a user namespace in which ids 0…65535 are hostID and up,
// and a network namespace that belongs to it.
func newNamespaces(hostID int) (user, net *os.File, err error) {
	files, err := namespaces(syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET, []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: hostID, Size: IDs},
	}, "user", "net")
	if err != nil {
		return nil, nil, err
	}
	return files[0], files[1], nil
}

// newIDMap makes a user namespace that maps like the sandbox's own and, from
// an id outside of its range, to the host's root. Package rootfs says why.
func newIDMap(hostID int) (*os.File, error) {
	files, err := namespaces(syscall.CLONE_NEWUSER, []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: hostID, Size: IDs},
		{ContainerID: IDs, HostID: 0, Size: 1},
	}, "user")
	if err != nil {
		return nil, err
	}
	return files[0], nil
}

// namespaces makes new namespaces and opens them. A process of many threads
// cannot enter a new user namespace itself, so a child does, and waits at the
// end of a pipe until they are open here. It dies with us.
func namespaces(flags uintptr, ids []syscall.SysProcIDMap, names ...string) (files []*os.File, err error) {
	child := exec.Command("/bin/cat")
	child.Env = []string{}
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: flags, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
	}
	pipe, err := child.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	defer func() {
		_ = pipe.Close()
		_ = child.Process.Kill()
		_ = child.Wait() // it was killed
		if err != nil {
			for _, f := range files {
				f.Close()
			}
		}
	}()
	for _, name := range names {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", child.Process.Pid, name))
		if err != nil {
			return files, fmt.Errorf("open namespace: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}
