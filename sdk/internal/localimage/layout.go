package localimage

import (
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// openLayout reads an OCI image layout.
func openLayout(path, ref string, platform v1.Platform) (v1.Image, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, unreadable(path, err)
	}
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, errorf("%s is no directory in the OCI image layout: %v.", path, err)
	}
	found := &search{ref: ref, platform: platform}
	if err := found.in(index, "", 0); err != nil {
		return nil, unreadable(path, err)
	}
	switch {
	case len(found.images) == 1:
		return found.images[0], nil
	case len(found.images) > 1:
		return nil, several(path, found.names)
	case len(found.platforms) > 0:
		return nil, wrongPlatform(path, strings.Join(found.platforms, ", "), platform)
	case ref != "":
		return nil, errorf("%s has no image %s, but %s.", path, ref, strings.Join(found.names, ", "))
	}
	return nil, errorf("%s has no image.", path)
}

func several(path string, names []string) error {
	return errorf("%s has several images: name one of them behind a colon, such as %s:%s (there are: %s).", path, path, names[0], strings.Join(names, ", "))
}

// Who made the index names images so.
var nameAnnotations = []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"}

// search looks through indexes for the images of a name and a platform.
type search struct {
	ref      string
	platform v1.Platform

	images    []v1.Image
	names     []string // of all there are
	platforms []string // of those of the name that do not fit
	seen      []v1.Hash
}

// maxDepth is how far indexes may be in each other.
const maxDepth = 4

func (s *search) in(index v1.ImageIndex, name string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("its indexes are more than %d deep", maxDepth)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range manifest.Manifests {
		if d.Annotations["vnd.docker.reference.type"] != "" {
			continue // an attestation
		}
		known := []string{name}
		for _, annotation := range nameAnnotations {
			if text := d.Annotations[annotation]; text != "" {
				known = append(known, text)
			}
		}
		if last := known[len(known)-1]; last != name {
			s.names = append(s.names, last)
		}
		if depth == 0 && s.ref != "" && !slices.ContainsFunc(known, func(n string) bool { return n == s.ref || strings.HasSuffix(n, "/"+s.ref) }) {
			continue
		}
		switch {
		case d.MediaType.IsIndex():
			below, err := index.ImageIndex(d.Digest)
			if err != nil {
				return err
			}
			if err := s.in(below, known[len(known)-1], depth+1); err != nil {
				return err
			}
		case d.MediaType.IsImage() && !slices.Contains(s.seen, d.Digest):
			s.seen = append(s.seen, d.Digest)
			img, err := index.Image(d.Digest)
			if err != nil {
				return err
			}
			is := d.Platform
			if is == nil {
				config, err := img.ConfigFile()
				if err != nil {
					return err
				}
				is = config.Platform()
			}
			if is != nil && !is.Satisfies(s.platform) {
				s.platforms = append(s.platforms, is.String())
				continue
			}
			s.images = append(s.images, img)
		}
	}
	return nil
}
