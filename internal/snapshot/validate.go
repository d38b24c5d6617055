package snapshot

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/fault"
)

// namePattern is the published rule for names and image references.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_.\-:]+(/[a-zA-Z0-9_.\-:]+)*(@sha256:[a-f0-9]{64})?$`)

// buildPattern are the names of transient snapshots: see newBuild.
var buildPattern = regexp.MustCompile(`^build-[0-9a-f]{40}$`)

const maxNameLength = 255

// CreateParams is what somebody asks for. Nil fields take the defaults.
type CreateParams struct {
	Name       string
	ImageName  string
	Entrypoint []string
	CPU        *int // cores
	Memory     *int // GiB
	Disk       *int // GiB
	RegionID   string
	Build      *BuildParams

	transient bool
	build     *Build // what Build is, where the caller knows
}

// BuildParams ask for an image to be built instead of pulled.
type BuildParams struct {
	Dockerfile string
	Contexts   []string
}

const maxContexts = 1000

// contextPattern is what a hash of a context may be: part of an object's name.
var contextPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,127}$`)

func (b BuildParams) validate() error {
	if strings.TrimSpace(b.Dockerfile) == "" {
		return fault.Invalid("buildInfo.dockerfileContent", "buildInfo.dockerfileContent is empty: give the text of a Dockerfile, which begins with FROM.")
	}
	if len(b.Contexts) > maxContexts {
		return fault.Invalid("buildInfo.contextHashes", fmt.Sprintf("buildInfo.contextHashes has %d hashes, at most %d are allowed.", len(b.Contexts), maxContexts))
	}
	for _, c := range b.Contexts {
		if !contextPattern.MatchString(c) {
			return fault.Invalid("buildInfo.contextHashes", fmt.Sprintf("%q is not a context hash: use the hash that the upload returned.", c))
		}
	}
	return nil
}

func (p CreateParams) validate(images Images) error {
	if err := validateName(p.Name); err != nil && !p.transient {
		return err
	}
	if err := p.validateSource(images); err != nil {
		return err
	}
	return p.validateRest()
}

// validateUpdate is validate for a change of a snapshot, where most may be left
// out.
func (p CreateParams) validateUpdate(images Images) error {
	if p.ImageName != "" || p.Build != nil {
		if err := p.validateSource(images); err != nil {
			return err
		}
	} else if p.Entrypoint == nil && p.CPU == nil && p.Memory == nil && p.Disk == nil && p.RegionID == "" {
		return fault.Invalid("imageName", "The update changes nothing: set imageName, buildInfo, entrypoint, cpu, memory, disk or regionId.")
	}
	return p.validateRest()
}

// validateRest checks all but name and source.
func (p CreateParams) validateRest() error {
	for _, word := range p.Entrypoint {
		if strings.ContainsRune(word, 0) {
			return fault.Invalid("entrypoint", "entrypoint must not contain NUL bytes.")
		}
	}
	for _, r := range []struct {
		field string
		value *int
	}{{"cpu", p.CPU}, {"memory", p.Memory}, {"disk", p.Disk}} {
		if r.value != nil && *r.value < 1 {
			return fault.Invalid(r.field, fmt.Sprintf("%s must be an integer of at least 1, not %d.", r.field, *r.value))
		}
	}
	return nil
}

func (p CreateParams) validateSource(images Images) error {
	switch {
	case p.Build != nil && p.ImageName != "":
		return fault.Invalid("buildInfo", "Give imageName or buildInfo, not both: an image is pulled or built.")
	case p.Build != nil:
		return p.Build.validate()
	case p.ImageName == "":
		return fault.Invalid("imageName", "imageName is required: name an image with a tag or digest, for example python:3.12-slim, or give a Dockerfile as buildInfo.")
	}
	if err := images.ValidateReference(p.ImageName); err != nil {
		return fault.Invalid("imageName", err.Error())
	}
	return nil
}

func validateName(name string) error {
	switch {
	case name == "":
		return fault.Invalid("name", "name is required.")
	case len(name) > maxNameLength:
		return fault.Invalid("name", fmt.Sprintf("name is too long: %d characters, at most %d.", len(name), maxNameLength))
	case !namePattern.MatchString(name):
		return fault.Invalid("name", fmt.Sprintf("name %q is not valid: use letters, digits and _ . - : in parts separated by slashes.", name))
	case slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return part == "." || part == ".." }):
		return fault.Invalid("name", fmt.Sprintf("name %q is not valid: no part of it may be . or .., which URLs leave out.", name))
	case buildPattern.MatchString(name):
		return fault.Invalid("name", fmt.Sprintf("name %q is reserved for the builds of sandboxes: choose another name.", name))
	}
	return nil
}

func (p CreateParams) resources() Resources {
	c := Content{Resources: DefaultResources}
	p.amend(&c)
	return c.Resources
}
