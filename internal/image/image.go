package image

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/oci"
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

	// Foreign are files that belonged to users that sandboxes do not have.
	Foreign Foreign
}

// Describe is what the domain knows of the image.
func (i *Image) Describe() *oci.Image {
	return &oci.Image{Digest: i.Digest, Size: i.Size, DefaultUser: i.DefaultUser, Command: i.Config.Command(), Note: i.Foreign.Note()}
}

// Has tells whether the image has something at an absolute path.
func (i *Image) Has(path string) bool {
	f, err := i.open(path, unix.O_PATH)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// HasProgram tells whether the first word of a command line names a program of
// the image, found as a sandbox finds it.
func (i *Image) HasProgram(name string) bool {
	if strings.Contains(name, "/") {
		return i.executable(path.Join("/", i.Config.WorkDir, name), name)
	}
	for dir := range strings.SplitSeq(i.Config.path(), ":") {
		if i.executable(path.Join("/", dir, name), path.Join(dir, name)) {
			return true
		}
	}
	return false
}

// executable is for a name that is relative to the working directory unless it
// is absolute.
func (i *Image) executable(relative, name string) bool {
	if path.IsAbs(name) {
		relative = name
	}
	f, err := i.open(relative, unix.O_PATH)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
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

// path is where programs are searched for.
func (c Config) path() string {
	for _, variable := range c.Env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			return value
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
