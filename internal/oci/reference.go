package oci

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// referencePattern is the published rule for names and image references.
var referencePattern = regexp.MustCompile(`^[a-zA-Z0-9_.\-:]+(/[a-zA-Z0-9_.\-:]+)*(@sha256:[a-f0-9]{64})?$`)

// moving are the tags that name another image tomorrow.
var moving = map[string]bool{"latest": true, "lts": true, "stable": true}

// ValidateReference tells what is wrong with a reference to an image of a
// snapshot, in a sentence for people; nil when it names one image, by a tag
// that stays or by a digest.
func ValidateReference(ref string) error {
	if !referencePattern.MatchString(ref) {
		return fmt.Errorf("image %q is not a valid reference: write it as name:tag, for example python:3.12-slim", ref)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("image %q is not a valid reference (%w): write it as name:tag, for example python:3.12-slim", ref, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return nil
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return fmt.Errorf("image %q has no tag or digest: pin a version, for example %s:1.2.3", ref, ref)
	}
	if moving[tagged.Tag()] {
		return fmt.Errorf("image %q has the tag %q, which names another image tomorrow: pin a version, for example %s:1.2.3",
			ref, tagged.Tag(), strings.TrimSuffix(ref, ":"+tagged.Tag()))
	}
	return nil
}

// Pinned is ref with digest in place of its tag and digest.
func Pinned(ref, digest string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("pin image %q: %w", ref, err)
	}
	return reference.FamiliarName(named) + "@" + digest, nil
}

// Normalized is the full form that a resolver takes, with its host.
func Normalized(ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	return reference.TagNameOnly(named).String(), nil
}

// RegistryOf is the host that a reference names, "" if it is not valid.
func RegistryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}
