package slot

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// newNamespaces makes a user namespace in which ids 0…65535 are hostID and up,
// and a network namespace that belongs to it.
//
// The user namespace is made by hostID, not by root. The kernel counts what is
// limited for each user (inotify instances, message queues, pending signals,
// locked memory, namespaces; ucounts) in every namespace up to the first: for
// the maker of the namespace, and together for all that the same user has made.
// Made by root, one sandbox could take what all others and the host have.
func newNamespaces(hostID int) (user, net *os.File, err error) {
	child := exec.Command("/usr/bin/unshare", "--user", "--net", cat)
	child.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(hostID), Gid: uint32(hostID)},
		// Where users may not make user namespaces.
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	answer, err := child.StdoutPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make namespaces: %w", err)
	}
	files, err := held(child, []string{"user", "net"}, func(pipe io.Writer) error {
		// It answers when it is in its namespaces.
		if _, err := pipe.Write([]byte{'\n'}); err != nil {
			return err
		}
		if _, err := io.ReadFull(answer, make([]byte, 1)); err != nil {
			return fmt.Errorf("%s: %w", child.Path, err)
		}
		ids := fmt.Sprintf("0 %d %d", hostID, IDs)
		for _, name := range []string{"uid_map", "gid_map"} {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", child.Process.Pid, name), []byte(ids), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return files[0], files[1], nil
}

// newIDMap makes a user namespace that maps like the sandbox's own and, from
// an id outside of its range, to the host's root. Package rootfs says why.
func newIDMap(hostID int) (*os.File, error) {
	child := exec.Command(cat)
	ids := []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: hostID, Size: IDs},
		{ContainerID: IDs, HostID: 0, Size: 1},
	}
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
	}
	files, err := held(child, []string{"user"}, func(io.Writer) error { return nil })
	if err != nil {
		return nil, err
	}
	return files[0], nil
}

// cat waits at the end of a pipe, and says what is written to it.
const cat = "/bin/cat"

// held opens namespaces of a child that makes some. A process of many threads
// cannot enter a new user namespace itself, so a child does, and waits at the
// end of a pipe until they are open here. It dies with us.
func held(child *exec.Cmd, names []string, setUp func(pipe io.Writer) error) (files []*os.File, err error) {
	child.Env = []string{}
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
	if err := setUp(pipe); err != nil {
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	for _, name := range names {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", child.Process.Pid, name))
		if err != nil {
			return files, fmt.Errorf("open namespace: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}
