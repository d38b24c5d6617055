package local

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// fillGuest writes what depends on this machine into the mounted root: name
// servers at every start, names once.
func (l *Local) fillGuest(b *bundle, rootPath string) error {
	root, err := os.Open(rootPath)
	if err != nil {
		return err
	}
	defer root.Close()
	g := guest{root: root, owner: b.slot.HostID}
	once := filepath.Join(l.disks.Path(b.spec.ID), "named") // beside the sandbox's own directories
	before, err := os.ReadFile(once)
	pristine := errors.Is(err, os.ErrNotExist)
	if len(l.ExtraCA) > 0 {
		if err := l.trust(b, g, pristine); err != nil {
			return fmt.Errorf("write trusted certificates: %w", err)
		}
	}
	if err := g.write("/etc/resolv.conf", l.resolver().text); err != nil {
		return err
	}
	if pristine {
		if err := g.writeProfile(); err != nil {
			return err
		}
	}
	name := b.spec.Hostname
	// Nothing syncs what is written here: a loss of power may have taken it from
	// the files.
	whole := len(g.read("/etc/hosts")) > 0 && len(g.read("/etc/hostname")) > 0
	if !pristine && whole && (len(before) == 0 || string(before) == name) {
		return nil
	}
	hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + name + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if !pristine && whole { // the disk is a copy of another sandbox's
		hosts = strings.ReplaceAll(string(g.read("/etc/hosts")), "127.0.1.1\t"+string(before)+"\n", "127.0.1.1\t"+name+"\n")
	}
	if err := g.write("/etc/hosts", hosts); err != nil {
		return err
	}
	if err := g.write("/etc/hostname", name+"\n"); err != nil {
		return err
	}
	return os.WriteFile(once, []byte(name), 0o600)
}

// profileScript gives login shells the variables that the agent writes down.
const profileScript = "# Login shells have the PATH and the variables that the sandbox gives to commands.\n" +
	"if [ -r " + boot.Profile + " ]; then . " + boot.Profile + "; fi\n"

// writeProfile adds to the scripts of /etc/profile in images that have such.
func (g guest) writeProfile() error {
	dir, err := g.open(filepath.Dir(boot.ProfileScript), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil //nolint:nilerr // there are none, or what is there is no directory
	}
	dir.Close()
	return g.write(boot.ProfileScript, profileScript)
}

// guest is a sandbox's root filesystem as the host sees it. Paths in it are the
// sandbox's and never lead out of it.
type guest struct {
	root  *os.File
	owner int // the host's id of its root
}

// open resolves path inside the root, symbolic links included (openat2(2)).
func (g guest) open(path string, flags uint64) (*os.File, error) {
	flags |= unix.O_CLOEXEC
	if flags&unix.O_PATH == 0 { // with which openat2 refuses it
		flags |= unix.O_NONBLOCK // a pipe has nobody at its other end
	}
	fd, err := unix.Openat2(int(g.root.Fd()), strings.TrimPrefix(path, "/"), &unix.OpenHow{
		Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read returns the first of the files that there is.
func (g guest) read(paths ...string) []byte {
	const limit = 4 << 20
	for _, path := range paths {
		f, err := g.open(path, unix.O_RDONLY)
		if err != nil {
			continue
		}
		st, err := f.Stat()
		if err == nil && st.Mode().IsRegular() && st.Size() <= limit {
			b := make([]byte, st.Size())
			n, _ := f.ReadAt(b, 0)
			f.Close()
			return b[:n]
		}
		f.Close()
	}
	return nil
}

// write replaces a file by one that the sandbox's root owns. An image without
// the directory gets it. What the sandbox put in the way, it keeps: a
// directory stays, and so does a disk that is full.
func (g guest) write(path, text string) error {
	dir, err := g.dir(filepath.Dir(path))
	if err != nil {
		return err
	}
	if dir == nil {
		return nil
	}
	defer dir.Close()
	name := filepath.Base(path)
	err = unix.Unlinkat(int(dir.Fd()), name, 0)
	switch {
	case errors.Is(err, unix.EISDIR):
		return nil
	case err != nil && !errors.Is(err, unix.ENOENT):
		return tolerate(path, err)
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return tolerate(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chown(g.owner, g.owner), f.Chmod(0o644), f.Close())
	return tolerate(path, err)
}

// tolerate forgives a full disk: the sandbox must start for its owner to make
// room.
func tolerate(path string, err error) error {
	if err == nil || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return fmt.Errorf("write %s: %w", path, err)
}

// dir opens a directory of the root, making it when it is missing; nil when
// something else is in its place.
func (g guest) dir(path string) (*os.File, error) {
	f, err := g.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		name := strings.TrimPrefix(path, "/")
		if err := unix.Mkdirat(int(g.root.Fd()), name, 0o755); err != nil {
			return nil, nil // a dangling link, or a full disk
		}
		if err := unix.Fchownat(int(g.root.Fd()), name, g.owner, g.owner, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
		f, err = g.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	return f, err
}

func readFirst(paths []string) []byte {
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			return b
		}
	}
	return nil
}

// resolver is how sandboxes find names.
type resolver struct {
	text    string // of resolv.conf
	servers []netip.Addr
	ours    bool // no sandbox reaches a resolver of this machine: a name server of ours does
}

// standIn is the resolver that sandboxes ask where ours answers. It is an
// address for documentation (RFC 5737): nobody has it, and questions to any
// address are redirected.
var standIn = netip.MustParseAddr("192.0.2.53")

// resolvConfs are where the machine's resolvers are; systemd-resolved keeps the
// real ones beside its stub.
var resolvConfs = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// resolver is the host's, without what only the host reaches.
func (l *Local) resolver() resolver {
	var local resolver
	for _, path := range resolvConfs {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		r := parseResolver(string(b))
		if len(r.servers) > 0 {
			return r
		}
		if local.text == "" {
			local = r
		}
	}
	local.ours = len(upstreams()) > 0
	if local.ours {
		local.text = fmt.Sprintf("nameserver %s\n", standIn) + local.text
	}
	return local
}

// upstreams are the machine's resolvers as the machine itself asks them.
func upstreams() (all []netip.AddrPort) {
	const port = 53
	b, err := os.ReadFile(resolvConfs[0])
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			if addr, err := netip.ParseAddr(fields[1]); err == nil {
				all = append(all, netip.AddrPortFrom(addr, port))
			}
		}
	}
	return all
}

func parseResolver(text string) (r resolver) {
	var out strings.Builder
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "nameserver":
			addr, err := netip.ParseAddr(fields[1])
			if err != nil || addr.IsLoopback() || addr.IsLinkLocalUnicast() || !addr.Is4() {
				continue
			}
			r.servers = append(r.servers, addr)
			fmt.Fprintf(&out, "nameserver %s\n", addr)
		case fields[0] == "search" || fields[0] == "domain" || fields[0] == "options":
			fmt.Fprintln(&out, strings.Join(fields, " "))
		}
	}
	r.text = out.String()
	return r
}
