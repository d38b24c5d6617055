package objectstore

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/versity/versitygw/backend/posix"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/intake"
	"github.com/opendaytona/daytona/internal/space"
)

// Bounded is the endpoint with bounds on what it stores: an organization's quota,
// and the reserve of the filesystem.
type Bounded struct {
	*Store
	Quota int64 // bytes of one organization; 0 is no bound

	mu   sync.Mutex
	used map[string]int64 // by organization, as far as is known
}

// errQuota ends an upload that the organization has no room for.
var errQuota = errors.New("the organization's quota of uploads is exceeded")

// ServeHTTP implements http.Handler.
func (b *Bounded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g, err := b.claimsOf(r.Header.Get("X-Amz-Security-Token"))
	if err != nil || r.Method != http.MethodPut && r.Method != http.MethodPost {
		b.Store.ServeHTTP(w, r) // which refuses those without claims
		return
	}
	if err := b.room(g.OrganizationID, max(r.ContentLength, 0)); err != nil {
		b.refuse(w, err)
		return
	}
	intake.Intake{Dir: b.Dir, Refuse: b.refuse, Take: func(n int64) error {
		b.count(g.OrganizationID, n)
		return b.room(g.OrganizationID, 0)
	}}.Serve(b.Store, w, r)
}

func (b *Bounded) count(organizationID string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.used[organizationID]; known {
		b.used[organizationID] += n
	}
}

// room fails when n more bytes do not fit. What was counted may have gone since,
// or have failed: before anybody is refused, it is looked at.
func (b *Bounded) room(organizationID string, n int64) error {
	if err := space.Require(b.Dir, n, space.Reserve); err != nil {
		return err
	}
	if b.Quota == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if used, known := b.used[organizationID]; known && used+n <= b.Quota {
		return nil
	}
	used, err := b.usage(organizationID)
	if err != nil {
		return err
	}
	if b.used == nil {
		b.used = map[string]int64{}
	}
	b.used[organizationID] = used
	if used+n > b.Quota {
		return errQuota
	}
	return nil
}

// usage is what an organization has stored, parts of unfinished uploads too.
func (b *Bounded) usage(organizationID string) (int64, error) {
	sum, err := sizeOf(filepath.Join(b.bucketDir(), filepath.Base(organizationID)))
	if err != nil {
		return 0, err
	}
	unfinished := filepath.Join(b.bucketDir(), posix.MetaTmpMultipartDir)
	objects, err := os.ReadDir(unfinished)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, o := range objects {
		dir := filepath.Join(unfinished, o.Name())
		var key [1024]byte
		n, err := unix.Getxattr(dir, "user.objname", key[:])
		if err != nil || !strings.HasPrefix(string(key[:n]), organizationID+"/") {
			continue // another one's, or just ended
		}
		parts, err := sizeOf(dir)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

// sizeOf is the bytes of all files below dir, which need not exist.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return n, err
}

func (b *Bounded) refuse(w http.ResponseWriter, err error) {
	switch _, isFault := errors.AsType[*fault.Error](err); {
	case isFault:
		b.refuseKey(w, err)
	case errors.Is(err, errQuota):
		refuse(w, http.StatusForbidden, "QuotaExceeded", fmt.Sprintf(
			"The organization's uploads may take %.1f GiB: wait until old ones expire, or ask for a higher quota.", float64(b.Quota)/(1<<30)))
	case space.IsFull(err):
		refuse(w, http.StatusInsufficientStorage, "InsufficientStorage", "The server's disk is full: delete snapshots or sandboxes, or ask its administrator for room.")
	default:
		b.Log.Error("bound an upload", "err", err)
		refuse(w, http.StatusInternalServerError, "InternalError", "The context store failed; the server's log tells why.")
	}
}
