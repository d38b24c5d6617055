package engine

import (
	"context"
	"errors"
	"io"
)

// StepRunner runs the steps of builds.
type StepRunner interface {
	// RunStep runs a step and returns its exit code. All of it ends when ctx
	// does. Errors: ErrNoSlot; ErrStepMemory and ErrStepPIDs, with the exit code;
	// the step's Over's.
	RunStep(ctx context.Context, s Step) (exitCode int, err error)
}

// Step is one command that runs to its end in a container of its own, such as a
// RUN of a build: with a sandbox's user namespace, network, limits and trusted
// certificates, but without an agent, and on a root filesystem that the caller
// keeps.
type Step struct {
	ID       string // unique among the sandboxes and steps that run
	Hostname string
	Root     Tree
	Mounts   []Mount
	ReadOnly bool // the root

	// Prepare is called with the path where the root is mounted, for the calling
	// thread alone. It returns who runs the command, and what to do with the root
	// once the command has ended.
	Prepare func(root string) (StepUser, func(), error)

	Args   []string
	Env    []string
	Cwd    string // made when it is missing
	Hosts  string // text of /etc/hosts
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// Over is asked again and again while the step runs; an error ends it.
	Over      func() error
	Resources Resources
	Network   Network
}

// StepUser is who runs a step, by the ids that the step sees.
type StepUser struct {
	UID, GID uint32
	Groups   []uint32
}

// Mount is something that a step sees at Target, below its root. Whatever the
// source, devices on it do not work, and its files belong to the ids that the
// step sees: an engine maps them to those that the step has on the machine, so
// no source has files of the machine's own users.
type Mount struct {
	Target   string
	Source   Source
	ReadOnly bool
}

// Source is what a Mount shows: a Tree, a TreePart or a Memory.
type Source interface{ source() }

// Tree is a directory tree on the machine: read-only layers, the topmost first,
// and a directory to write to above them. Upper without layers may be a file.
type Tree struct {
	Layers      []string
	Upper, Work string
}

// TreePart is the file or directory at Path of a tree. Links in the tree do not
// lead out of it.
type TreePart struct {
	Tree Tree
	Path string
}

// Memory is an empty filesystem in memory with these mount options.
type Memory struct{ Options []string }

func (Tree) source()     {}
func (TreePart) source() {}
func (Memory) source()   {}

// Errors of RunStep, in words for those who wrote the step.
var (
	ErrStepMemory = errors.New("its command was killed because it needed more memory than a build step may have (build-memory)")
	ErrStepPIDs   = errors.New("it started more processes than a build step may have at once")
)

// BuildDisks are the disks that builds write to: limited by the kernel, each by
// itself and those of one owner together. The engine keeps no list of whose they
// are or whether they are needed; the builder does.
type BuildDisks interface {
	// Bound limits what the disks of an owner take together. The limit in force is
	// the former one where they may not be promised more.
	Bound(ctx context.Context, owner string, limit int64) (inForce int64, err error)
	// Create makes a disk of an owner that Bound has named; one that is there
	// stays. Errors: ErrNoSpace; unix.EDQUOT, when the owner's are at their limit.
	Create(ctx context.Context, owner, name string, limit int64) error
	// Delete removes a disk. Removing a missing one is a no-op.
	Delete(ctx context.Context, name string) error
	Exists(name string) bool
	List() ([]string, error)
	// Used is what a disk takes, OwnerUsed what those of an owner take together.
	Used(name string) (int64, error)
	OwnerUsed(owner string) (int64, error)

	// Dirs are where a disk is written to, as overlayfs wants it.
	Dirs(name string) (upper, work string)
	// NameAt is the name of the disk that a path is on.
	NameAt(path string) (name string, ok bool)
	// Mounts are where this process sees the disks mounted, such as by a builder
	// that was killed.
	Mounts() ([]string, error)

	// Settle returns when the space of deleted disks has come back, or with ctx.
	Settle(ctx context.Context) error
	// Size is how much there is for all disks, those of sandboxes among them, and
	// Free what is left of it.
	Size() (int64, error)
	Free() (int64, error)
	// Failed reports whether the disks take no more writes.
	Failed() bool
}
