// Package recording answers /computeruse/recordings: it records the display as
// MP4 by the image's ffmpeg, one process for each recording (encoder.go). A
// recording is a file with its id in its name (file.go), so there is nothing to
// keep of those that have ended. It runs as the sandbox's user, in the desktop's
// worker, which must stay while something is recorded (Hold).
package recording

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers the routes.
type Service struct {
	display string
	dir     string
	hold    func() (release func())

	mu     sync.Mutex
	active map[string]*encoder
	failed map[string]error // why those that ended by themselves did
	closed bool
}

// atMost is how many recordings go on at a time: each encodes the whole display.
const atMost = 8

// New makes the service that records display to files in dir. It calls hold
// while something is recorded.
func New(display, dir string, hold func() (release func())) *Service {
	return &Service{display: display, dir: dir, hold: hold, active: map[string]*encoder{}, failed: map[string]error{}}
}

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("POST /computeruse/recordings/start", wire.Handler(s.start))
	mux.Handle("POST /computeruse/recordings/stop", wire.Handler(s.stop))
	mux.Handle("GET /computeruse/recordings", wire.Handler(s.list))
	mux.Handle("GET /computeruse/recordings/{id}", wire.Handler(s.get))
	mux.Handle("DELETE /computeruse/recordings/{id}", wire.Handler(s.remove))
	mux.Handle("GET /computeruse/recordings/{id}/download", wire.Handler(s.download))
}

// Close ends all recordings, and returns when their files are whole.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	var all []*encoder
	for _, e := range s.active {
		all = append(all, e)
	}
	s.mu.Unlock()
	for _, e := range all {
		go e.stop()
	}
	for _, e := range all {
		<-e.finished
	}
}

// Recording is one as clients see it. While it goes on there is no telling of its
// end, length and size.
type Recording struct {
	ID              string   `json:"id"`
	FileName        string   `json:"fileName"`
	FilePath        string   `json:"filePath"`
	StartTime       string   `json:"startTime"`
	Status          string   `json:"status"`
	EndTime         string   `json:"endTime,omitempty"`
	DurationSeconds *float64 `json:"durationSeconds,omitempty"`
	SizeBytes       *int64   `json:"sizeBytes,omitempty"`
}

func (s *Service) start(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Label *string `json:"label"`
	}
	body := bufio.NewReader(r.Body)
	if _, err := body.Peek(1); !errors.Is(err, io.EOF) { // a body may be missing
		r.Body = io.NopCloser(body)
		if err := wire.Decode(w, r, &req); err != nil {
			return err
		}
	}
	name, err := newName(req.Label)
	if err != nil {
		return err
	}
	ffmpeg, err := findFFmpeg()
	if err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	e := newEncoder(ffmpeg, s.display, s.dir, name)
	if err := s.add(e); err != nil {
		return err
	}
	if err := e.start(r.Context(), func() { s.ended(e) }); err != nil {
		return err
	}
	wire.JSON(w, http.StatusCreated, e.recording())
	return nil
}

// add makes e active, which it is until ended is called.
func (s *Service) add(e *encoder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStopped
	}
	if len(s.active) >= atMost {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "%d recordings go on already: stop one first", atMost)
	}
	s.active[e.name.id] = e
	e.release = s.hold()
	return nil
}

func (s *Service) ended(e *encoder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, e.name.id)
	if e.failure != nil {
		s.failed[e.name.id] = e.failure
	}
	e.release()
}

func (s *Service) stop(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID string `json:"id"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.ID == "" {
		return wire.Bad("id is missing: it is that of the recording to stop")
	}
	s.mu.Lock()
	e, failure := s.active[req.ID], s.failed[req.ID]
	s.mu.Unlock()
	switch {
	case failure != nil:
		return failure
	case e == nil:
		return wire.Errorf(http.StatusNotFound, wire.NotFound, "no recording %.80q goes on: GET /computeruse/recordings lists all", req.ID)
	}
	go e.stop() // and on when the client goes away
	select {
	case <-e.finished:
	case <-r.Context().Done():
		return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away; the recording is being stopped")
	}
	if e.failure != nil {
		return e.failure
	}
	wire.JSON(w, http.StatusOK, e.recording())
	return nil
}

func (s *Service) list(w http.ResponseWriter, _ *http.Request) error {
	all, err := s.all()
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string][]Recording{"recordings": all})
	return nil
}

// all lists the recordings, those that go on too, by their start.
func (s *Service) all() ([]Recording, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	all := []Recording{}
	for _, n := range names {
		if r, err := s.describe(n); err == nil { // else it was deleted meanwhile
			all = append(all, r)
		}
	}
	return all, nil
}

// describe tells of a recording by its file, or by its encoder while that works.
func (s *Service) describe(n name) (Recording, error) {
	s.mu.Lock()
	e, failure := s.active[n.id], s.failed[n.id]
	s.mu.Unlock()
	if e != nil {
		return e.recording(), nil
	}
	r, err := n.inspect(s.dir)
	if err == nil && failure != nil {
		r.Status = statusFailed
	}
	return r, err
}

// find is the recording with the id of the request.
func (s *Service) find(r *http.Request) (name, error) {
	names, err := s.names()
	if err != nil {
		return name{}, err
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(names, func(n name) bool { return n.id == id })
	if i < 0 {
		return name{}, notFound(id)
	}
	return names[i], nil
}

func notFound(id string) error {
	return wire.Errorf(http.StatusNotFound, wire.NotFound, "there is no recording %.80q: GET /computeruse/recordings lists all", id)
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	n, err := s.find(r)
	if err != nil {
		return err
	}
	answer, err := s.describe(n)
	if errors.Is(err, os.ErrNotExist) {
		return notFound(n.id)
	}
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, answer)
	return nil
}

// ofFile is the recording of the request when it has ended.
func (s *Service) ofFile(r *http.Request) (name, error) {
	n, err := s.find(r)
	if err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[n.id] != nil {
		return n, wire.Errorf(http.StatusConflict, wire.RecordingStillActive, "recording %s still goes on: stop it first", n.id)
	}
	return n, nil
}

func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	n, err := s.ofFile(r)
	if err != nil {
		return err
	}
	if err := os.Remove(n.path(s.dir)); errors.Is(err, os.ErrNotExist) {
		return notFound(n.id)
	} else if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.failed, n.id)
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) download(w http.ResponseWriter, r *http.Request) error {
	n, err := s.ofFile(r)
	if err != nil {
		return err
	}
	f, info, err := n.open(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return notFound(n.id)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": n.file}))
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}
