// Package localimage finds images on the machine of the client: in the stores of
// docker and podman, in OCI layout directories, and in the archives of docker
// save, podman save and skopeo. It imports no other package of the project; the SDK pushes
// what it finds. Look next at archive.go and store.go.
package localimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Where an image may be.
const (
	Docker  = "docker"
	Podman  = "podman"
	OCI     = "oci"
	Archive = "archive"
)

// Image is one for one platform. Close removes what it needed.
type Image struct {
	v1.Image
	Name string // as a repository's, without a registry: "team/app"
	Tag  string // "" where it has none

	temporary []string
}

// Close removes temporary files.
func (i *Image) Close() error {
	var errs []error
	for _, path := range i.temporary {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// Error is a sentence for people.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

func errorf(format string, args ...any) Error { return Error(fmt.Sprintf(format, args...)) }

// Open finds the image that where names: a directory, a file, or an image of a
// store, as from says; "" tells by its form. One of several in a directory or
// file is named behind a colon: app.tar:team/app:1. Errors: Error; ctx's.
func Open(ctx context.Context, where, from string, platform v1.Platform) (_ *Image, err error) {
	path, ref := where, ""
	if from == "" || from == OCI || from == Archive {
		path, ref = splitPath(where)
	}
	if from == "" {
		from = kind(path)
	}
	img := &Image{}
	defer func() {
		if err != nil {
			err = errors.Join(err, img.Close())
		}
	}()
	switch from {
	case OCI:
		img.Image, err = openLayout(path, ref, platform)
	case Archive:
		err = img.openArchive(ctx, path, ref, platform)
	case Docker, Podman, "":
		err = img.openStore(ctx, where, from, platform)
	default:
		err = errorf("%q is no place that images are pushed from: use docker, podman, oci or archive.", from)
	}
	if err != nil {
		return nil, err
	}
	if err := fits(img, platform, where); err != nil {
		return nil, err
	}
	if from == OCI || from == Archive {
		if where = ref; ref == "" {
			where = pathName(path)
		}
	}
	img.Name, img.Tag = names(where)
	return img, nil
}

// kind tells by its form where an image is; "" for one of a store.
func kind(path string) string {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return OCI
	case err == nil, strings.HasSuffix(path, ".tar"), strings.HasPrefix(path, "/"), strings.HasPrefix(path, "."):
		return Archive // also one that is not there, which is said then
	}
	return ""
}

// splitPath takes the name of one image off a path.
func splitPath(where string) (path, ref string) {
	for i := range where {
		if where[i] != ':' || i < 2 { // a drive's letter is no path
			continue
		}
		if _, err := os.Stat(where[:i]); err == nil {
			return where[:i], where[i+1:]
		}
	}
	return where, ""
}

// fits reports whether the image is for the platform.
func fits(img v1.Image, platform v1.Platform, where string) error {
	config, err := img.ConfigFile()
	if err != nil {
		return errorf("Image %s cannot be read: %v.", where, err)
	}
	if is := config.Platform(); is != nil && !is.Satisfies(platform) {
		return wrongPlatform(where, is.String(), platform)
	}
	return nil
}

func wrongPlatform(where, is string, platform v1.Platform) Error {
	return errorf("Image %s is for %s, but the server needs %s: build it with --platform %s.", where, is, platform, platform)
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// pathName is a name made of a path's last part.
func pathName(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	base, _, _ := strings.Cut(filepath.Base(path), ".")
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(base), "-"), "-")
}

// names are the repository and the tag of a reference.
func names(where string) (repository, tag string) {
	ref, err := name.ParseReference(where, name.WithDefaultRegistry(""), name.WithDefaultTag(""))
	if err != nil {
		repository = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(where), "-"), "-")
		if repository == "" {
			repository = "image"
		}
		return repository, ""
	}
	if tagged, ok := ref.(name.Tag); ok {
		tag = tagged.TagStr()
	}
	return ref.Context().RepositoryStr(), tag
}

func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errorf("There is no %s: name an image of docker or podman, an OCI layout directory, or an archive.", path)
	}
	return errorf("%s cannot be read as an image: %v.", path, err)
}
