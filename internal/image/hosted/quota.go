package hosted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/api/errcode"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/intake"
	"github.com/opendaytona/daytona/internal/space"
)

// errQuota ends a body that there is no room for.
var errQuota = errors.New("quota exceeded")

// receive passes on a request that brings content, as far as there is room.
func (r *Registry) receive(p *project, w http.ResponseWriter, q *http.Request) {
	if space.Require(r.Dir, max(q.ContentLength, 0), space.Reserve) != nil {
		refuseSpace(w)
		drain(w, q.Body)
		return
	}
	if !r.room(p, max(q.ContentLength, 0)) {
		r.refuseQuota(w, p)
		drain(w, q.Body)
		return
	}
	sent := q.Body
	in := intake.Intake{
		Dir: r.Dir,
		Take: func(n int64) error {
			p.used.Add(n)
			if !r.room(p, 0) {
				return errQuota
			}
			return nil
		},
		Refuse: func(w http.ResponseWriter, reason error) { r.refuseBody(w, p, reason) },
	}
	if q.Method == http.MethodPut && strings.Contains(q.URL.Path, "/manifests/") {
		in.Keep = func() error { return r.keep(p) }
	}
	if ended := in.Serve(p.app, w, q); ended != nil {
		// The registry never asks for what is left of it, and neither will the
		// client.
		if dir, err := p.upload(q.URL.Path); err == nil {
			if err := os.RemoveAll(dir); err != nil {
				r.Log.Error("remove an upload that was ended", "dir", dir, "err", err)
			}
			p.recount(r)
		}
		drain(w, sent)
	}
}

// refuseBody tells why a body was ended.
func (r *Registry) refuseBody(w http.ResponseWriter, p *project, reason error) {
	f, isFault := errors.AsType[*fault.Error](reason)
	switch {
	case isFault:
		refuse(w, errcode.ErrorCodeUnauthorized.WithMessage(f.Message))
	case errors.Is(reason, space.ErrLow):
		refuseSpace(w)
	case errors.Is(reason, errQuota):
		r.refuseQuota(w, p)
	default:
		refuse(w, errcode.ErrorCodeUnavailable.WithMessage("the image could not be stored; the server's log tells why"))
	}
}

// keep syncs what was pushed, a whole image: its manifest is what a push sends
// last. The library syncs each file and the directory that it is in, but not the
// directories above, which it may have made. Filesystems with a journal write
// these with them; not all have one.
func (r *Registry) keep(p *project) error {
	err := durable.SyncFilesystem(p.root)
	if err != nil {
		r.Log.Error("keep a pushed image", "project", p.organizationID, "err", err)
	}
	return err
}

// room reports whether n more bytes fit. What is counted while it comes may be
// there twice afterwards, or not at all: before anybody is refused, it is looked
// at.
func (r *Registry) room(p *project, n int64) bool {
	if p.used.Load()+n <= r.Quota {
		return true
	}
	p.recount(r)
	return p.used.Load()+n <= r.Quota
}

func (p *project) recount(r *Registry) {
	used, err := size(p.root)
	if err != nil {
		r.Log.Error("count what a project has", "project", p.organizationID, "err", err)
		return
	}
	p.used.Store(used)
}

func (r *Registry) refuseQuota(w http.ResponseWriter, p *project) {
	refuse(w, errcode.ErrorCodeDenied.WithMessage(fmt.Sprintf(
		"the registry quota of your organization is exceeded: %.1f of %.1f GiB are used; delete snapshots of pushed images, or ask for a higher quota",
		float64(p.used.Load())/(1<<30), float64(r.Quota)/(1<<30))))
}

var errorCodeFull = errcode.Register("daytona", errcode.ErrorDescriptor{
	Value: "INSUFFICIENT_STORAGE", HTTPStatusCode: http.StatusInsufficientStorage,
	Message:     "the server's disk is full: delete snapshots or sandboxes, or ask its administrator for room",
	Description: "The filesystem of the registry has come to its reserve.",
})

func refuseSpace(w http.ResponseWriter) {
	refuse(w, errorCodeFull.WithMessage(errorCodeFull.Message()))
}

// Clients that still send when the answer is there already may not see it. They
// get a moment to do so.
const (
	drainTime  = 10 * time.Second
	drainBytes = 256 << 20
)

func drain(w http.ResponseWriter, body io.Reader) {
	c := http.NewResponseController(w)
	_ = c.Flush() // writers that cannot answer at once answer at the end
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, body, drainBytes) // as far as it goes
	_ = c.SetReadDeadline(time.Time{})
}

var uploadPattern = regexp.MustCompile(`^[0-9a-f-]{36}$`)

// upload is the directory of the upload that a request's path names.
func (p *project) upload(urlPath string) (string, error) {
	dir, id := path.Split(path.Clean(urlPath))
	repository, ok := cutAround(dir, prefix, "/blobs/uploads/")
	if !ok || !uploadPattern.MatchString(id) {
		return "", errors.New("it is no upload's")
	}
	return filepath.Join(p.repositoriesDir(), repository, "_uploads", id), nil
}

// size is the bytes of all files below dir, which need not exist.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // gone meanwhile
			return nil
		}
		return err
	})
	return n, err
}
