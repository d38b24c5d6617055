// Package defaultimage makes the image of the default snapshots, on a Debian of a hub
// or one of packages, and records and completes the snapshots that are made of it.
package defaultimage

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/baseimage"
	"github.com/opendaytona/daytona/internal/config"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/google/uuid"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/image"
)

const (
	// hubImage is the Debian that the default image stands on where a hub gives
	// it.
	hubImage = "docker.io/library/debian:trixie-slim"
	// hubPatience is how long the hub may take to answer.
	hubPatience = 5 * time.Second
)

// Source is what the default image is made from; tests have another.
type Source struct {
	Base     BaseImage
	HubImage string // stands in for Base where a hub has it
	Recipe   Recipe

	FullNeeds     int64         // bytes of disk space that the full variant takes
	CompletePause time.Duration // before that is tried again for the first time
}

// BaseImage is the image made here from Debian's packages.
type BaseImage struct {
	Reference string
	// Build makes it in dir, where it is not there yet.
	Build func(ctx context.Context, dir string, log *slog.Logger, progress func(string)) error
	// Handler serves it as a registry does.
	Handler func(dir string) (http.Handler, error)
}

// Recipe is an image that is built here, in variants.
type Recipe struct {
	Version    string
	Dockerfile func(variant, base string) string
	Fill       func(dir string) error // writes what the Dockerfile uses
}

// Standard is the real one.
func Standard() Source {
	return Source{
		HubImage: hubImage, FullNeeds: fullNeeds, CompletePause: completePause,
		Recipe: Recipe{recipes.Version(), recipes.Dockerfile, recipes.Fill},
		Base: BaseImage{
			Reference: baseimage.Reference(),
			Build: func(ctx context.Context, dir string, log *slog.Logger, progress func(string)) error {
				return baseimage.Build(ctx, baseimage.Config{Dir: dir, Log: log, Progress: progress})
			},
			Handler: baseimage.Handler,
		},
	}
}

// Names are the references to the image, daytona.internal/VARIANT:VERSION, so any
// snapshot can be made of it.
type Names struct{ Source }

// Image makes the default image when it is first asked for, on a Debian of the
// hub or one of packages.
type Image struct {
	Names
	Options
	turn chan struct{} // holds one token: whose turn it is to build

	mu    sync.Mutex
	heard map[int]func(string) // who is told of progress
	next  int
}

// Options are what the image is made with.
type Options struct {
	Setting string // of default-image
	Debian  *Debian
	Images  *image.Store
	Builder interface {
		Build(context.Context, build.Request) (*image.Image, error)
	}
	Log *slog.Logger
}

func New(s Source, o Options) *Image {
	m := &Image{Names: Names{s}, Options: o, turn: make(chan struct{}, 1), heard: map[int]func(string){}}
	m.turn <- struct{}{}
	return m
}

// Reference names a variant of this recipe.
func (m Names) Reference(variant string) string {
	return m.Source.Base.Host() + "/" + variant + ":" + m.Recipe.Version
}

// Variant finds the variant that a reference, with a tag or digest, names.
func (m Names) Variant(ref string) (string, bool) {
	for _, v := range recipes.Variants() {
		rest, ok := strings.CutPrefix(ref, m.Source.Base.Host()+"/"+v)
		if ok && strings.HasPrefix(rest, ":") || ok && strings.HasPrefix(rest, "@") {
			return v, true
		}
	}
	return "", false
}

// successor names what replaces a default image of an older server; "" when the
// reference is to none.
func (m Names) successor(ref string) string {
	v, ok := m.Variant(ref)
	if !ok && m.Source.Base.Is(ref) {
		v, ok = recipes.Slim, true // what the base once was
	}
	if !ok || ref == m.Reference(v) {
		return ""
	}
	return m.Reference(v)
}

// Pull makes the image that ref names, if it is one of ours, and lets owner hold it.
// Of many callers one builds; all are told the progress. The Debian below is built
// too when ref names that, and left to be pulled. Errors: *madeError, and build's.
func (m *Image) Pull(ctx context.Context, ref, owner string, progress func(string)) (img *image.Image, ours bool, err error) {
	if variant, ok := m.Variant(ref); ok {
		img, err := m.make(ctx, ref, variant, owner, progress)
		return img, true, err
	}
	if m.Source.Base.Is(ref) {
		err = m.Debian.ensure(ctx, progress)
	}
	return nil, false, err
}

func (m *Image) make(ctx context.Context, ref, variant, owner string, progress func(string)) (*image.Image, error) {
	if _, tag, ok := strings.Cut(ref, ":"); ok && !strings.Contains(ref, "@") && tag != m.Recipe.Version {
		return nil, madeError{ref, m.Reference(variant)}
	}
	defer m.hear(progress)()
	select {
	case <-m.turn:
		defer func() { m.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	from := m.chooseBase(ctx)
	if m.Source.Base.Is(from) {
		if err := m.Debian.ensure(ctx, m.tell); err != nil {
			return nil, err
		}
	}
	m.tell("Building " + m.Reference(variant) + " on " + from)
	log := &lines{tell: m.tell}
	defer log.flush()
	return m.Builder.Build(ctx, build.Request{
		ID: uuid.NewString(), Owner: owner, Dockerfile: m.Recipe.Dockerfile(variant, from), Log: log,
		Fill: func(_ context.Context, dir string) error { return m.Recipe.Fill(dir) },
	})
}

// hear lets f be told of progress until the returned function is called.
func (m *Image) hear(f func(string)) (leave func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.next
	m.next++
	m.heard[id] = f
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.heard, id)
	}
}

func (m *Image) tell(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.heard {
		f(line)
	}
}

// lines tells what is written to it, a line at a time.
type lines struct {
	tell func(string)
	rest []byte
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.tell(string(line))
		l.rest = rest
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.tell(string(l.rest))
	}
}

// madeError is a version of the image that this server does not make.
type madeError struct{ asked, made string }

func (e madeError) Error() string {
	return fmt.Sprintf("image %s: this server makes %s", e.asked, e.made)
}

// Message is one sentence that a user can act on (snapshot.Images).
func (e madeError) Message() string {
	return fmt.Sprintf("%s is of another version of the server; this one makes %s.", e.asked, e.made)
}

// chosen is what the default snapshots are made of.
func (m *Image) chosen() string {
	switch m.Setting {
	case config.DefaultImageAuto, config.DefaultImageDebian:
		return m.Reference(recipes.Slim)
	case recipes.Slim, recipes.Desktop, recipes.Full:
		return m.Reference(m.Setting)
	}
	return m.Setting
}

// chooseBase decides what the image stands on.
func (m *Image) chooseBase(ctx context.Context) string {
	if m.Setting == config.DefaultImageDebian {
		return m.Source.Base.Reference
	}
	ctx, cancel := context.WithTimeout(ctx, hubPatience)
	defer cancel()
	if err := m.resolve(ctx, m.HubImage); err != nil {
		m.Log.Info("default image: the hub does not give a Debian, making one of packages", "asked", m.HubImage, "image", m.Source.Base.Reference, "err", err)
		return m.Source.Base.Reference
	}
	m.Log.Info("default image: stands on the hub's Debian", "image", m.HubImage)
	return m.HubImage
}

// resolve asks the registry, or its mirrors, whether it has the image.
func (m *Image) resolve(ctx context.Context, ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err == nil {
		_, _, err = docker.NewResolver(docker.ResolverOptions{Hosts: m.Images.Hosts(nil)}).Resolve(ctx, named.String())
	}
	if err != nil {
		return fmt.Errorf("resolve %s: %w", ref, err)
	}
	return nil
}
