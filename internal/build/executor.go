package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/google/uuid"
	bkexecutor "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	resources "github.com/moby/buildkit/executor/resources/types"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/mountinfo"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/userid"
)

// executor runs BuildKit's steps on the engine. It implements
// executor.Executor.
type executor struct {
	steps     Steps
	resources engine.Resources
	disks     *disks
	presence  *presence
	layers    string // what layers are named relative to, where there are many
}

// Run implements executor.Executor.
func (e *executor) Run(ctx context.Context, _ string, root bkexecutor.Mount, mounts []bkexecutor.Mount, process bkexecutor.ProcessInfo, started chan<- struct{}) (_ resources.Recorder, err error) {
	if started != nil {
		defer close(started)
	}
	meta := process.Meta
	if meta.NetMode == pb.NetMode_HOST || meta.SecurityMode == pb.SecurityMode_INSECURE {
		return nil, errors.New("this server runs build steps in sandboxes: --network=host and --security=insecure are not allowed")
	}
	var heard witness
	step := engine.Step{
		ID: "build-" + uuid.NewString(), Hostname: "build", Args: meta.Args, Env: meta.Env, Cwd: meta.Cwd, Hosts: hosts(meta.ExtraHosts),
		Stdin: reader(process.Stdin), Stdout: heard.beside(writer(process.Stdout)), Stderr: heard.beside(writer(process.Stderr)),
		ReadOnly: meta.ReadonlyRootFS || root.Readonly, Resources: e.resources,
		Network: engine.Network{BlockAll: meta.NetMode == pb.NetMode_NONE},
	}
	if meta.Hostname != "" {
		step.Hostname = meta.Hostname
	}
	release := releases{layers: e.layers}
	defer func() { err = errors.Join(err, release.all()) }()
	source, err := release.source(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("mount the step's root: %w", err)
	}
	tree, ok := source.(engine.Tree)
	if !ok {
		return nil, fmt.Errorf("the step's root is a %T", source)
	}
	step.Root = tree
	for _, m := range mounts {
		source, err := release.source(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("mount at %s: %w", m.Dest, err)
		}
		step.Mounts = append(step.Mounts, engine.Mount{Target: m.Dest, Source: source, ReadOnly: m.Readonly})
	}
	step.Over = e.disks.watch(step)
	step.Prepare = func(rootPath string) (engine.StepUser, func(), error) {
		// What is made only to be mounted upon must not become part of a layer.
		clean := bkexecutor.MountStubsCleaner(context.WithoutCancel(ctx), rootPath, append(mounts, bkexecutor.Mount{Dest: boot.Dir}), meta.RemoveMountStubsRecursive)
		uid, gid, groups, err := oci.GetUser(rootPath, meta.User)
		if err == nil && slices.ContainsFunc(append([]uint32{uid, gid}, groups...), func(id uint32) bool { return !userid.Inside(id) }) {
			err = errForeignID
		}
		if err != nil {
			clean()
		}
		return engine.StepUser{UID: uid, GID: gid, Groups: groups}, clean, err
	}
	done, err := e.presence.step(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	code, err := e.steps.RunStep(ctx, step)
	if err != nil && code != 0 {
		return nil, &gateway.ExitError{ExitCode: uint32(code), Err: err}
	}
	if err != nil {
		return nil, err
	}
	if code != 0 && !contains(meta.ValidExitCodes, code) {
		err := fmt.Errorf("exit code: %d", code)
		if clue := heard.clue(); clue != nil {
			err = fmt.Errorf("%w: %w", err, clue)
		}
		return nil, &gateway.ExitError{ExitCode: uint32(code), Err: err}
	}
	return nil, nil
}

// Exec implements executor.Executor. Only interactive frontends call it, and
// the Dockerfile's is none.
func (e *executor) Exec(context.Context, string, bkexecutor.ProcessInfo) error {
	return errors.New("build steps run one process each")
}

// releases are the mounts that a step borrowed.
type releases struct {
	layers string
	ends   []func() error
}

func (r *releases) all() error {
	var errs []error
	for _, f := range r.ends {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (r *releases) source(ctx context.Context, m bkexecutor.Mount) (engine.Source, error) {
	mountable, err := m.Src.Mount(ctx, m.Readonly)
	if err != nil {
		return nil, err
	}
	mounts, release, err := mountable.Mount()
	if err != nil {
		return nil, err
	}
	if release != nil {
		r.ends = append(r.ends, release)
	}
	source, err := sourceOf(mounts)
	tree, ok := source.(engine.Tree)
	if err != nil || !ok {
		return source, err
	}
	for i, layer := range tree.Layers {
		if !filepath.IsAbs(layer) { // as containerd does where there are many
			tree.Layers[i] = filepath.Join(r.layers, layer)
		}
	}
	if m.Selector != "" && filepath.Clean("/"+m.Selector) != "/" {
		return engine.TreePart{Tree: tree, Path: m.Selector}, nil
	}
	return tree, nil
}

// sourceOf reads a mount of the snapshotter as what it is made of.
func sourceOf(mounts []mount.Mount) (engine.Source, error) {
	if len(mounts) != 1 {
		return nil, fmt.Errorf("unexpected mounts %v", mounts)
	}
	switch m := mounts[0]; m.Type {
	case "bind", "rbind":
		// BuildKit mounts overlays that may be shared itself. Overlays cannot be
		// idmapped, but what they are made of can.
		options, err := overlayAt(m.Source)
		if err != nil || options == nil {
			return engine.Tree{Upper: m.Source}, err
		}
		return overlayTree(options), nil
	case "overlay":
		return overlayTree(m.Options), nil
	case "tmpfs":
		return engine.Memory{Options: m.Options}, nil
	}
	return nil, fmt.Errorf("unexpected mount of type %s", mounts[0].Type)
}

func overlayTree(options []string) (tree engine.Tree) {
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "lowerdir":
			tree.Layers = strings.Split(value, ":")
		case "upperdir":
			tree.Upper = value
		case "workdir":
			tree.Work = value
		}
	}
	return tree
}

// overlayAt returns the options of the overlay that is mounted at path, nil
// when there is none.
func overlayAt(path string) ([]string, error) {
	found, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(path))
	if err != nil || len(found) == 0 || found[0].FSType != "overlay" {
		return nil, err
	}
	return strings.Split(found[0].VFSOptions, ","), nil
}

func hosts(extra []bkexecutor.HostIP) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost build\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range extra {
		fmt.Fprintf(&b, "%s\t%s\n", h.IP, h.Host)
	}
	return b.String()
}

func contains(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

// reader and writer keep a nil of an interface a nil of the other.
func reader(r io.ReadCloser) io.Reader {
	if r == nil {
		return nil
	}
	return r
}

func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
