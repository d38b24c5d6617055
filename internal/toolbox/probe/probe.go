// Package probe is the command that the engine runs in a sandbox, and in a step
// of a build, to learn whether a program can live there: it tries what programs
// take for granted and prints what came of it. It stands in for the programs of
// an image, of which it needs none.
package probe

import (
	"encoding/json"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// Run prints a boot.Report.
func Run(w io.Writer) error { return json.NewEncoder(w).Encode(look()) }

func look() boot.Report {
	r := boot.Report{UID: os.Getuid(), GID: os.Getgid()}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		r.Failed = append(r.Failed, "read its limit on open files: "+err.Error())
	}
	r.OpenFiles = files.Max
	if err := os.WriteFile(boot.ProbeFile, []byte("written by a program inside\n"), 0o644); err != nil {
		r.Failed = append(r.Failed, "write to the root filesystem: "+err.Error())
	}
	for _, path := range []string{"/dev/null", "/dev/urandom", "/proc/self/status", "/sys/class/net"} {
		if f, err := os.Open(path); err != nil {
			r.Failed = append(r.Failed, err.Error())
		} else {
			f.Close()
		}
	}
	var err error
	if r.Addresses, err = addresses(); err != nil {
		r.Failed = append(r.Failed, "read its addresses: "+err.Error())
	}
	return r
}

// addresses are those of the links that are up, but for the loopback's.
func addresses() (all []string, err error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 || link.Flags&net.FlagLoopback != 0 {
			continue
		}
		found, err := link.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			all = append(all, a.String())
		}
	}
	return all, nil
}
