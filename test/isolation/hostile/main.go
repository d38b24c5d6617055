// Command hostile tries ways out of a sandbox, for the tests in test/isolation.
// Each attempt does no harm where it works. They run on the host first, as
// root, where they must work: what fails inside then fails for the right
// reason. It imports no other package of the project.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// errAbsent says that this kernel does not have what is attempted.
var errAbsent = errors.New("this machine has no such thing")

// attempts by name. They return nil when what they try worked.
var attempts = map[string]func(args ...string) error{
	"connect":       connect,
	"ask":           ask,
	"read":          read,
	"read-handle":   readHandle,
	"open-device":   openDevice,
	"loop":          loop,
	"rewrite":       rewrite,
	"overwrite":     overwrite,
	"raise-limits":  raiseLimits,
	"release-agent": releaseAgent,
	"kernel-log":    kernelLog,
	"signal":        signal,
	"trace":         trace,
	"read-key":      readKey,
	"load-module":   loadModule,
	"unload-module": unloadModule,
	"load-bpf":      loadBPF,
	"list-bpf":      listBPF,
	"perf":          perf,
	"userfaultfd":   userfaultfd,
	"io-uring":      ioUring,
	"subvolume":     subvolume,
	"search-tree":   searchTree,
}

func main() {
	if len(os.Args) < 2 {
		fatal("usage: hostile all JSON | nested ... | writable DIR... | uid | hold | usurp URL | entangle | listen ADDRESS | ATTEMPT ARG...")
	}
	name, args := os.Args[1], os.Args[2:]
	switch name {
	case "all":
		all(args[0])
	case "nested":
		nested(args)
	case "writable":
		writable(args)
	case "uid":
		fmt.Println(os.Geteuid())
	case "listen":
		listen(args[0])
	case "hold":
		hold()
	case "usurp":
		usurp(args[0])
	case "entangle":
		entangle()
	default:
		attempt, ok := attempts[name]
		if !ok {
			fatal("no attempt " + name)
		}
		if err := attempt(args...); err != nil {
			fmt.Println(err)
			if errors.Is(err, errAbsent) || errors.Is(err, unix.ENOSYS) {
				os.Exit(2)
			}
			os.Exit(1)
		}
	}
}

func fatal(text string) {
	fmt.Fprintln(os.Stderr, "hostile:", text)
	os.Exit(3)
}

// all runs a list of attempts, each in a process of its own, and tells a line
// for each: HOSTILE, its number, the outcome, the reason.
func all(list string) {
	var wanted [][]string
	if err := json.Unmarshal([]byte(list), &wanted); err != nil {
		fatal(err.Error())
	}
	var running errgroup.Group
	running.SetLimit(16)
	for i, args := range wanted {
		running.Go(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			c := exec.CommandContext(ctx, "/proc/self/exe", args...)
			out, err := c.CombinedOutput()
			outcome := fmt.Sprint("broken: ", err)
			if c.ProcessState != nil {
				if known, ok := map[int]string{0: "worked", 1: "refused", 2: "absent"}[c.ProcessState.ExitCode()]; ok {
					outcome = known
				}
			}
			fmt.Printf("HOSTILE|%d|%s|%s\n", i, outcome, strings.Join(strings.Fields(string(out)), " "))
			return nil
		})
	}
	_ = running.Wait() // what fails is told in its line
}

// nested runs this program in user, mount and cgroup namespaces of its own, as
// root there.
func nested(args []string) {
	c := exec.Command("/proc/self/exe", args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
	}
	if err := c.Run(); err != nil {
		fatal("nested: " + err.Error())
	}
}
