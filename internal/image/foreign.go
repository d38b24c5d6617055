package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/userid"
)

// Foreign are the files of an image whose owner or group no sandbox has. On this
// machine they belong to nobody, who would be shown in their place anyway; then
// root in a sandbox can at least change them.
type Foreign struct {
	Files    int
	Examples []string // some of their names
	IDs      []int    // some of those that they had
}

// maxExamples and maxExample bound a record, for which a filesystem may have as
// little as 4 KiB.
const (
	maxExamples = 5
	maxExample  = 200
)

// Note is a sentence for people; "" when there are none.
func (f Foreign) Note() string {
	if f.Files == 0 {
		return ""
	}
	ids := make([]string, len(f.IDs))
	for i, id := range f.IDs {
		ids[i] = fmt.Sprint(id)
	}
	files, belong := fmt.Sprintf("%d files", f.Files), "belong"
	if f.Files == 1 {
		files, belong = "1 file", "belongs"
	}
	return fmt.Sprintf("Warning: %s of this image %s to nobody (%d) here instead of %s: %s; where that matters, %s", files, belong, userid.Nobody,
		strings.Join(ids, ", "), strings.Join(f.Examples, ", "), userid.Advice)
}

// fold gives an entry of a layer to nobody when sandboxes lack its owner or group.
func (f *Foreign) fold(h *tar.Header) {
	if userid.Inside(h.Uid) && userid.Inside(h.Gid) {
		return
	}
	f.Files++
	if len(f.Examples) < maxExamples && len(h.Name) <= maxExample {
		f.Examples = append(f.Examples, "/"+strings.TrimPrefix(h.Name, "/"))
	}
	for _, id := range []*int{&h.Uid, &h.Gid} {
		if userid.Inside(*id) {
			continue
		}
		if len(f.IDs) < maxExamples && !slices.Contains(f.IDs, *id) {
			f.IDs = append(f.IDs, *id)
		}
		*id = userid.Nobody
	}
}

// add adds those of another layer.
func (f *Foreign) add(o Foreign) {
	f.Files += o.Files
	f.Examples = append(f.Examples, o.Examples[:min(len(o.Examples), maxExamples-len(f.Examples))]...)
	for _, id := range o.IDs {
		if len(f.IDs) < maxExamples && !slices.Contains(f.IDs, id) {
			f.IDs = append(f.IDs, id)
		}
	}
}

// foreignAttribute of a layer's directory keeps its record. Nothing that a layer
// holds can set it: unpacking takes no attributes of this kind.
const foreignAttribute = "trusted.daytona.foreign"

func (f Foreign) record(dir string) error {
	if f.Files == 0 {
		return nil
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := unix.Setxattr(dir, foreignAttribute, text, 0); err != nil {
		return fmt.Errorf("record whose the files of %s were: %w", dir, err)
	}
	return nil
}

// foreignOf reads the records of an image's layers.
func foreignOf(layers []string) (all Foreign, err error) {
	text := make([]byte, 4096)
	for _, dir := range layers {
		n, err := unix.Getxattr(dir, foreignAttribute, text)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("read whose the files of %s were: %w", dir, err)
		}
		var one Foreign
		if err := json.Unmarshal(text[:n], &one); err != nil {
			return all, fmt.Errorf("read whose the files of %s were: %w", dir, err)
		}
		all.add(one)
	}
	return all, nil
}
