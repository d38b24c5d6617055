//go:build root

package intake

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/space"
)

func TestABodyEndsAtTheReserveOfTheDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(space.Reserve-64<<20)); err != nil {
		t.Fatal("this test mounts and must run as root:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	i := Intake{Dir: dir, Take: func(int64) error { return nil }, Refuse: func(w http.ResponseWriter, _ error) { w.WriteHeader(507) }}
	w := httptest.NewRecorder()
	reason := i.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(201)
	}), w, httptest.NewRequest("PUT", "/", strings.NewReader("x")))
	if !errors.Is(reason, space.ErrLow) || w.Code != 507 {
		t.Errorf("%v, %d", reason, w.Code)
	}
}
