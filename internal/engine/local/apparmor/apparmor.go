// Package apparmor keeps the host's AppArmor profiles off the programs in
// sandboxes.
//
// A profile of the host attaches to a program by its path, and an unconfined
// program in a sandbox is seen by the path it has there: the host's profile of
// /usr/bin/busybox catches a sandbox's. So sandboxes run in a policy namespace
// of their own, in which no profile attaches to any path, with a profile that
// mediates nothing: AppArmor neither denies nor names anything there. Programs
// in it cannot name, and so not enter, a profile of the host.
//
// It is no layer of isolation. It imports no other package of the project.
package apparmor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	securityfs = "/sys/kernel/security"
	namespaces = securityfs + "/apparmor/policy/namespaces"
	features   = securityfs + "/apparmor/features"
	parser     = "apparmor_parser"
)

// text is the profile that sandboxes run in where the kernel mediates who may
// make user namespaces: Ubuntu's denies it to programs without a profile, or
// takes away what the namespace is for, as soon as their user is not root. It
// must not be a namespace's own `unconfined`, for which the rule cannot be made.
// The flag means that nothing is mediated but what the rules name.
const text = `abi <abi/4.0>,
profile ` + profile + ` flags=(unconfined) {
  userns,
}
`

const profile = "sandbox"

// patience is how long the parser has, which takes some milliseconds.
const patience = 30 * time.Second

// Enabled tells whether the kernel applies AppArmor's policy.
func Enabled() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && bytes.HasPrefix(b, []byte("Y"))
}

// Check returns what keeps a server on this machine from doing what this
// package is for, nil for nothing. It changes nothing.
func Check() error {
	if err := checkMounted(); err != nil {
		return err
	}
	if !restricted() {
		return nil
	}
	_, err := exec.LookPath(parser)
	if err == nil {
		_, err = os.Stat("/etc/apparmor.d/abi/4.0")
	}
	if err != nil {
		return lacking(err)
	}
	return nil
}

func checkMounted() error {
	_, err := os.Stat(namespaces)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its files are not there (%w): mount -t securityfs securityfs %s", err, securityfs)
	}
	return err
}

// lacking says what the want of the profile means.
func lacking(err error) error {
	return fmt.Errorf("users other than root cannot make user namespaces in sandboxes, which browsers, bubblewrap and rootless containers need (%w): install apparmor 4.0 or newer, or set kernel.apparmor_restrict_unprivileged_userns=0", err)
}

// restricted tells whether the kernel, as Ubuntu's, is told to keep user
// namespaces from programs without a profile.
func restricted() bool {
	b, err := os.ReadFile("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

// mediatesUserNamespaces tells whether the kernel whose features are in dir
// asks its policy before a user namespace is made (upstream since 6.7). Older
// ones refuse the profile, and need none.
func mediatesUserNamespaces(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "namespaces", "mask"))
	return err == nil && slices.Contains(strings.Fields(string(b)), "userns_create")
}

// Namespace is a policy namespace with the profile that sandboxes run in.
type Namespace struct {
	name string
	log  *slog.Logger

	mu    sync.Mutex
	label string // of the profile
}

// Open makes the namespace of that name, or takes over what an earlier server
// left of it. What runs in it goes on undisturbed.
func Open(name string, log *slog.Logger) (*Namespace, error) {
	if err := checkMounted(); err != nil {
		return nil, fmt.Errorf("AppArmor: %w", err)
	}
	n := &Namespace{name: name, log: log}
	if err := n.ensure(); err != nil {
		return nil, err
	}
	// A server that is itself confined may not choose what it starts.
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends
		tried <- n.Enter()
	}()
	if err := <-tried; err != nil {
		return nil, errors.Join(err, n.Remove())
	}
	return n, nil
}

// ensure makes what is missing of the namespace, and finds the best label in it.
func (n *Namespace) ensure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := os.Mkdir(n.dir(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make AppArmor policy namespace: %w", err)
	}
	n.label = ":" + n.name + ":unconfined"
	if !mediatesUserNamespaces(features) {
		return nil
	}
	switch err := n.load(); {
	case err == nil:
		n.label = ":" + n.name + ":" + profile
	case restricted():
		n.log.Warn("AppArmor restricts programs in sandboxes", "err", lacking(err))
	default:
		n.log.Debug("no AppArmor profile for sandboxes, and none is needed now", "err", err)
	}
	return nil
}

// load loads the profile, in the place of one that is there.
func (n *Namespace) load() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, parser, "--replace", "--skip-cache", "--namespace", n.name)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load AppArmor profile: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (n *Namespace) dir() string { return filepath.Join(namespaces, n.name) }

// Enter puts the next program that this thread executes, or starts, into the
// namespace. The thread must be locked, and must not be used for other things.
//
// The OCI runtime could do it, but only as the sandbox's root: then, with
// kernel.apparmor_restrict_unprivileged_unconfined=1, the kernel adds the
// profile to `unconfined` instead of replacing that, and the host's profiles
// attach as before.
func (n *Namespace) Enter() error {
	err := n.enter()
	if errors.Is(err, unix.ENOENT) {
		// Somebody has removed all profiles that are in no file (aa-teardown,
		// aa-remove-unknown).
		if err = n.ensure(); err == nil {
			err = n.enter()
		}
	}
	if err != nil {
		return fmt.Errorf("enter AppArmor policy namespace %s: %w", n.name, err)
	}
	return nil
}

func (n *Namespace) enter() error {
	n.mu.Lock()
	label := n.label
	n.mu.Unlock()
	return os.WriteFile("/proc/thread-self/attr/apparmor/exec", []byte("exec "+label), 0)
}

// Remove removes the namespace, in which nothing may run any more.
func (n *Namespace) Remove() error {
	if err := os.Remove(n.dir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove AppArmor policy namespace: %w", err)
	}
	return nil
}
