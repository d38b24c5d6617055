// Package oci has the names of container images, and describes them to the domain,
// which neither pulls nor unpacks them. It has values only; package image has the
// images.
package oci

import "errors"

// Image is an image that is on this machine.
type Image struct {
	Digest string // of the platform's manifest: "sha256:…"
	Size   int64  // bytes of all layers, unpacked
	// DefaultUser is who runs in a sandbox unless asked otherwise.
	DefaultUser string
	Command     []string // ENTRYPOINT and CMD; empty when the image runs nothing by itself
	Note        string   // a sentence that the maker of a snapshot should read; "" for none
}

// Contents looks into the files of an image.
type Contents interface {
	// Has tells whether the image has something at an absolute path.
	Has(path string) bool
	// HasProgram tells whether the first word of a command line names a program of
	// the image, found as a sandbox finds it.
	HasProgram(name string) bool
	// Lacks names the user or group of a "user[:group]" that the image does not
	// have, "" when it has both.
	Lacks(user string) (missing string, err error)
}

// ErrNotFound says that an image is not on this machine.
var ErrNotFound = errors.New("image is not on this machine")
