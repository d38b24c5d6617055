// Package build makes images of Dockerfiles: BuildKit as a library, over the
// image store that pulls and sandboxes use, its steps run by an engine on this
// machine. It imports those two and no domain package; package snapshot asks it to build
// through a small interface, and package server wires them. Look next at
// build.go (one build), then executor.go (one step of it).
package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/buildkit/util/resolver"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
)

// Options of Open.
type Options struct {
	Dir       string // holds the cache's index and the contexts of builds that run
	Images    *image.Store
	Steps     Steps
	Disks     engine.BuildDisks // of the same engine
	Resources engine.Resources  // of one step; Disk is what it may write
	CacheSize int64             // bytes that the cache may take; what snapshots hold does not count
	Timeout   time.Duration     // of one build
	Log       *slog.Logger
}

// Steps runs the steps of builds.
type Steps interface {
	engine.StepRunner
	// CheckReach fails for an address that no step may reach.
	CheckReach(to netip.Addr) error
}

// Builder builds images. Its methods may run at once.
type Builder struct {
	Options
	shared     image.Shared
	registries registries
	caches     caches
	kept       kept
}

// Open opens the builder in o.Dir and frees what a killed server left there.
func Open(ctx context.Context, o Options) (_ *Builder, err error) {
	b := &Builder{Options: o, shared: o.Images.Share()}
	b.registries.byBuild, b.registries.byTicket = make(map[string]*pulls), make(map[string]*pulls)
	b.caches.open = make(map[string]*cache)
	resolver.DefaultPool.Clear() // it remembers the ways of an earlier builder
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open builder %s: %w", o.Dir, err), b.Close())
		}
	}()
	if err := b.clean(ctx); err != nil {
		return b, err
	}
	return b, os.MkdirAll(b.workDir(), 0o700)
}

func (b *Builder) workDir() string { return filepath.Join(b.Dir, "running") }

const frontendName = "dockerfile.v0"

// Close ends the builds that run and closes their caches.
func (b *Builder) Close() error { return b.caches.close() }
