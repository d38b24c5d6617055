package hosted

import (
	"errors"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Reference is an image in a project: by digest, or else by tag.
type Reference struct {
	OrganizationID string
	Repository     string // with the organization: {organization}/{name}
	Tag            string
	Digest         digest.Digest
}

// ErrForeign says that an image is in another organization's project.
var ErrForeign = errors.New("it belongs to another organization")

// Parse takes an image's reference apart if the image is in the organization's
// project, whatever the host: clients may have reached us by any name.
func Parse(organizationID, image string) (ref Reference, ours bool) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil || organizationID == "" {
		return ref, false
	}
	ref = Reference{OrganizationID: organizationID, Repository: reference.Path(named)}
	if !strings.HasPrefix(ref.Repository, organizationID+"/") {
		return ref, false
	}
	if digested, ok := named.(reference.Digested); ok {
		ref.Digest = digested.Digest()
	} else if tagged, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
		ref.Tag = tagged.Tag()
	}
	return ref, true
}

// cutAround is what stands between a prefix and a suffix.
func cutAround(s, prefix, suffix string) (string, bool) {
	s, begins := strings.CutPrefix(s, prefix)
	s, ends := strings.CutSuffix(s, suffix)
	return s, begins && ends && s != ""
}
