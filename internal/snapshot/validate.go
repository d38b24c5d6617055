package snapshot

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opendaytona/daytona/internal/fault"
)

// namePattern is the published rule for names and image references.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_.\-:]+(/[a-zA-Z0-9_.\-:]+)*(@sha256:[a-f0-9]{64})?$`)

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
}

func (p CreateParams) validate(images Images) error {
	if err := validateName(p.Name); err != nil {
		return err
	}
	if p.ImageName == "" {
		return fault.Invalid("imageName", "imageName is required: name an image with a tag or digest, for example python:3.12-slim.")
	}
	if err := images.ValidateReference(p.ImageName); err != nil {
		return fault.Invalid("imageName", err.Error())
	}
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
			return fault.Invalid(r.field, fmt.Sprintf("%s must be a whole number of at least 1, not %d.", r.field, *r.value))
		}
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
	}
	return nil
}

func (p CreateParams) resources() Resources {
	r := DefaultResources
	for _, f := range []struct {
		to   *int
		from *int
	}{{&r.CPU, p.CPU}, {&r.Memory, p.Memory}, {&r.Disk, p.Disk}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return r
}
