package image

import (
	"os"
	"strings"
)

// Image is one OCI image for this machine's platform, unpacked and ready to
// be the lower layers of a rootfs.
type Image struct {
	Digest string // of the platform's manifest: "sha256:…"; the key of every Store method
	Size   int64  // bytes of all layers, unpacked
	Config Config

	// Layers are absolute paths of the unpacked layers, topmost first, in the
	// order of overlayfs' lowerdir. On disk their ids are the container's own.
	Layers []string

	// DefaultUser is who runs in a sandbox unless asked otherwise: the image's
	// USER, else "daytona" where its passwd has one, else "root".
	DefaultUser string
}

// Has tells whether the image has a file at an absolute path. No link in a layer
// leads out of it.
func (i *Image) Has(path string) bool {
	for _, layer := range i.Layers {
		root, err := os.OpenRoot(layer)
		if err != nil {
			continue
		}
		st, err := root.Lstat(strings.TrimPrefix(path, "/"))
		root.Close()
		if err == nil {
			// overlayfs' whiteout is a character device 0:0.
			return st.Mode()&os.ModeCharDevice == 0
		}
	}
	return false
}

// Config is the part of the OCI image configuration that running needs.
type Config struct {
	Env        []string // KEY=value
	Entrypoint []string
	Cmd        []string
	User       string
	WorkDir    string
	Volumes    []string // absolute paths, sorted
	StopSignal string
}

// Command is the command line that the image runs by itself: its ENTRYPOINT
// followed by its CMD; nil when it has neither.
func (c Config) Command() []string {
	if len(c.Entrypoint)+len(c.Cmd) == 0 {
		return nil
	}
	return append(append([]string{}, c.Entrypoint...), c.Cmd...)
}
