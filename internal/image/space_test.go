package image

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/space"
)

func TestAPullEndsBeforeItFillsTheDisk(t *testing.T) {
	const mib = 1 << 20
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(space.Reserve+20*mib)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// containerd's check for fs-verity leaves a file open until it is collected.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h := newHub(t)
	random := make([]byte, 40*mib) // which do not compress
	_, _ = rand.Read(random)
	h.push(t, "library/large:1", imageOf(t, v1.Config{}, layerOf(t, file("large", string(random)))))
	h.push(t, "library/small:1", imageOf(t, v1.Config{}, layerOf(t, file("small", "x"))))

	h.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "large/blobs/") || r.Method != http.MethodGet {
			return false
		}
		for blob := h.real(r); len(blob) > 0; time.Sleep(15 * time.Millisecond) {
			n := min(len(blob), mib)
			if _, err := w.Write(blob[:n]); err != nil {
				return true
			}
			blob = blob[n:]
		}
		return true
	})
	s := openPatient(t, dir, h, 20*time.Second)
	defer closeStore(t, s)
	before, err := space.Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	var failed *PullError
	_, err = s.Pull(t.Context(), "large:1", PullOptions{Owner: "large"})
	if !errors.As(err, &failed) || failed.Kind != KindNoSpace || !strings.Contains(failed.Message(), "no disk space left for image large:1") {
		t.Fatalf("the pull says %v", err)
	}
	if after, err := space.Free(dir); err != nil || after < before-mib {
		t.Errorf("%d KiB of it are left, %v", (before-after)>>10, err)
	}
	if _, err := s.Pull(t.Context(), "small:1", PullOptions{Owner: "small"}); err != nil {
		t.Errorf("an image that fits: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=2g"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), "large:1", PullOptions{Owner: "large"}); err != nil {
		t.Errorf("with more space: %v", err)
	}
}
