package image

import (
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// thisMachine matches the images that run here, best first. One that does not say
// for which architecture it is, as old tools made them, is taken for one that does,
// as docker and BuildKit take it.
func thisMachine() platforms.MatchComparer {
	return thisPlatform{platforms.Only(platforms.DefaultSpec())}
}

type thisPlatform struct{ platforms.MatchComparer }

// Match implements platforms.Matcher.
func (t thisPlatform) Match(p ocispec.Platform) bool { return t.MatchComparer.Match(named(p)) }

// Less implements platforms.MatchComparer: what says so is better.
func (t thisPlatform) Less(a, b ocispec.Platform) bool {
	if (a.Architecture == "") != (b.Architecture == "") {
		return b.Architecture == ""
	}
	return t.MatchComparer.Less(named(a), named(b))
}

func named(p ocispec.Platform) ocispec.Platform {
	if p.Architecture == "" {
		own := platforms.DefaultSpec()
		p.Architecture, p.Variant = own.Architecture, own.Variant
	}
	return p
}
