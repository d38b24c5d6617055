package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// leaf is the group that the agent and what it starts live in, by the name that
// systemd uses for its own.
const leaf = "init.scope"

// Delegate moves this process, the only one in the sandbox yet, into a leaf
// group, and enables every controller that there is for the groups beside it. A
// group either has processes or limits those below it, so without this neither
// Docker nor a kubelet could make one. (With v1 there is nothing to do.)
func (g *Group) Delegate() error {
	if g == nil {
		return nil
	}
	controllers := strings.Fields(g.read("cgroup.controllers"))
	if len(controllers) == 0 {
		return nil // v1
	}
	if err := g.dir.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a control group for the agent: %w", err)
	}
	if err := g.write(leaf+"/cgroup.procs", "0"); err != nil {
		return fmt.Errorf("move the agent into a control group of its own: %w", err)
	}
	// One by one: a controller that cannot be enabled here, such as cpuset
	// without processors, does not keep the others from it.
	var errs []error
	for _, c := range controllers {
		if err := g.write("cgroup.subtree_control", "+"+c); err != nil {
			errs = append(errs, fmt.Errorf("enable the %s controller: %w", c, err))
		}
	}
	return errors.Join(errs...)
}

func (g *Group) write(name, text string) error {
	f, err := g.dir.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
