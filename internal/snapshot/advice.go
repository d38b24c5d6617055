package snapshot

import (
	"context"
	"fmt"

	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/oci"
)

// What sandboxes that run Docker should have: cores, and GiB.
const (
	dockerCPU    = 2
	dockerMemory = 4
)

// dockerd is where images have Docker's daemon: Debian's and Docker's packages,
// and docker:dind.
var dockerd = []string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"}

// advice is a sentence for the maker of a snapshot whose sandboxes would be too
// small for what its image runs; "" when they are not.
func advice(files oci.Contents, r Resources) string {
	if r.CPU >= dockerCPU && r.Memory >= dockerMemory {
		return ""
	}
	for _, path := range dockerd {
		if files.Has(path) {
			return fmt.Sprintf("Warning: this image has Docker, which wants at least %d cores and %d GiB of memory; sandboxes of this snapshot have %d and %d GiB", dockerCPU, dockerMemory, r.CPU, r.Memory)
		}
	}
	return ""
}

// warn writes what its maker should know into the snapshot's log. A sandbox's own build has the
// resources that the sandbox asks for, which are not known here.
func (s *Service) warn(ctx context.Context, log *buildlog.Writer, img *oci.Image, snap *Snapshot) {
	files, err := s.config.Images.Contents(ctx, img.Digest)
	if err != nil {
		s.config.Log.Warn("look into an image", "snapshot", snap.Name, "image", img.Digest, "err", err)
		return
	}
	for _, text := range warnings(img, files, snap) {
		log.Line(text)
	}
}

func warnings(img *oci.Image, files oci.Contents, s *Snapshot) (all []string) {
	if note := img.Note; note != "" {
		all = append(all, note)
	}
	entrypoint := s.Entrypoint
	if len(entrypoint) == 0 {
		entrypoint = img.Command
	}
	if len(entrypoint) > 0 && !files.HasProgram(entrypoint[0]) {
		all = append(all, fmt.Sprintf("Warning: this image has no program %s, which is what its sandboxes are to run (ENTRYPOINT, CMD, --entrypoint): they start without it", entrypoint[0]))
	}
	if text := advice(files, s.Resources); text != "" && !s.Transient {
		all = append(all, text)
	}
	return all
}
