package recording

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// recorder sends requests to a service that records a display of its own.
type recorder struct {
	t       *testing.T
	dir     string
	display string
	service *Service
	http    http.Handler
	holds   atomic.Int64
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	return recordTo(t, filepath.Join(t.TempDir(), "recordings"), startDisplay(t))
}

func recordTo(t *testing.T, dir, display string) *recorder {
	r := &recorder{t: t, dir: dir, display: display}
	r.service = New(display, dir, func() func() {
		r.holds.Add(1)
		return func() { r.holds.Add(-1) }
	})
	t.Cleanup(func() {
		r.service.Close()
		if n := r.holds.Load(); n != 0 {
			t.Errorf("the service is held %d times", n)
		}
	})
	mux := http.NewServeMux()
	r.service.Register(mux)
	r.http = mux
	return r
}

// startDisplay is an X server with sides that 4:2:0 does not take.
func startDisplay(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("Xvfb", "-displayfd", "1", "-screen", "0", "401x301x24", "-nolisten", "tcp")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test-packages installs it", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	number, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return ":" + strings.TrimSpace(number)
}

func (r *recorder) send(ctx context.Context, method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(ctx, method, "/computeruse/recordings"+path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, req)
	return w
}

// ask sends a request that must be answered with status, and reads the answer into v.
func (r *recorder) ask(status int, method, path, body string, v any) {
	r.t.Helper()
	w := r.send(r.t.Context(), method, path, body)
	if w.Code != status {
		r.t.Fatalf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
	}
	if v != nil {
		if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
			r.t.Fatal(err)
		}
	}
}

type failure struct{ Code, Message string }

func (r *recorder) start(body string) (rec Recording) {
	r.t.Helper()
	r.ask(http.StatusCreated, http.MethodPost, "/start", body, &rec)
	return rec
}

func (r *recorder) stop(id string) (rec Recording) {
	r.t.Helper()
	begun := time.Now()
	r.ask(http.StatusOK, http.MethodPost, "/stop", fmt.Sprintf(`{"id":%q}`, id), &rec)
	if took := time.Since(begun); took > 10*time.Second {
		r.t.Errorf("the stop took %v", took)
	}
	return rec
}

func (r *recorder) get(id string) (rec Recording) {
	r.t.Helper()
	r.ask(http.StatusOK, http.MethodGet, "/"+id, "", &rec)
	return rec
}

func (r *recorder) list() []Recording {
	r.t.Helper()
	var all struct{ Recordings []Recording }
	r.ask(http.StatusOK, http.MethodGet, "", "", &all)
	return all.Recordings
}

// film is what ffprobe finds in a file.
type film struct {
	Streams []struct {
		CodecName string `json:"codec_name"`
		PixFmt    string `json:"pix_fmt"`
		Width     int
		Height    int
		Rate      string `json:"r_frame_rate"`
		Frames    string `json:"nb_read_frames"`
	}
	Format struct {
		Duration string
		Name     string `json:"format_name"`
	}
}

// probe decodes the whole film.
func probe(t *testing.T, path string) (f film) {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_format", "-show_streams", "-of", "json", path).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v %s", err, out)
	}
	if err := json.Unmarshal(out, &f); err != nil || len(f.Streams) != 1 {
		t.Fatalf("%v %s", err, out)
	}
	return f
}

func TestARecordingIsAFilmOfTheDisplay(t *testing.T) {
	r := newRecorder(t)
	began := time.Now()
	rec := r.start(`{"label":"my label-1.x"}`)
	if rec.Status != "recording" || rec.EndTime != "" || rec.DurationSeconds != nil || rec.SizeBytes != nil {
		t.Errorf("%+v", rec)
	}
	if rec.FilePath != filepath.Join(r.dir, rec.FileName) || !strings.HasPrefix(rec.FileName, rec.ID+"_my label-1.x_20") || !strings.HasSuffix(rec.FileName, ".mp4") {
		t.Errorf("%+v", rec)
	}
	if all := r.list(); len(all) != 1 || fmt.Sprint(all[0]) != fmt.Sprint(rec) || fmt.Sprint(r.get(rec.ID)) != fmt.Sprint(rec) {
		t.Errorf("list %+v, started %+v", all, rec)
	}
	if r.holds.Load() != 1 {
		t.Error("nothing holds the worker")
	}
	for _, request := range [][2]string{{http.MethodDelete, "/" + rec.ID}, {http.MethodGet, "/" + rec.ID + "/download"}} {
		var f failure
		if r.ask(http.StatusConflict, request[0], request[1], "", &f); f.Code != "RECORDING_STILL_ACTIVE" {
			t.Errorf("%s %s: %+v", request[0], request[1], f)
		}
	}
	time.Sleep(2 * time.Second)
	done := r.stop(rec.ID)
	took := time.Since(began)
	start, err1 := time.Parse(time.RFC3339, done.StartTime)
	end, err2 := time.Parse(time.RFC3339, done.EndTime)
	if err1 != nil || err2 != nil || start.Before(began.Add(-time.Second)) || end.Sub(start) < 2*time.Second || end.After(time.Now()) {
		t.Errorf("from %s to %s, errors %v %v", done.StartTime, done.EndTime, err1, err2)
	}
	if done.Status != "completed" || done.DurationSeconds == nil || *done.DurationSeconds < 1.9 || *done.DurationSeconds > took.Seconds() || done.SizeBytes == nil || *done.SizeBytes < 1000 {
		t.Fatalf("%+v", done)
	}
	f := probe(t, done.FilePath)
	if s := f.Streams[0]; s.CodecName != "h264" || s.PixFmt != "yuv420p" || s.Width != 402 || s.Height != 302 || s.Rate != "30/1" || len(s.Frames) < 2 {
		t.Errorf("%+v", f)
	}
	if want := fmt.Sprintf("%.3f", *done.DurationSeconds); !strings.HasPrefix(f.Format.Duration, want[:len(want)-1]) {
		t.Errorf("ffprobe says it takes %s s, the answer %s", f.Format.Duration, want)
	}
	head := make([]byte, 64<<10)
	file, err := os.Open(done.FilePath)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n, _ := io.ReadFull(file, head)
	if head = head[:n]; bytes.Contains(head, []byte("moof")) || bytes.Index(head, []byte("moov")) > bytes.Index(head, []byte("mdat")) {
		t.Error("it is still in pieces, or has its header at the end")
	}
	if r.holds.Load() != 0 {
		t.Error("the worker is held still")
	}
	left, err := os.ReadDir(r.dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files %v, error %v", left, err)
	}
	r.ask(http.StatusNotFound, http.MethodPost, "/stop", fmt.Sprintf(`{"id":%q}`, rec.ID), nil)
}

func TestADownloadHasRanges(t *testing.T) {
	r := newRecorder(t)
	rec := r.stop(r.start("").ID)
	content, err := os.ReadFile(rec.FilePath)
	if err != nil {
		t.Fatal(err)
	}
	w := r.send(t.Context(), http.MethodGet, "/"+rec.ID+"/download", "")
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), content) || w.Header().Get("Content-Type") != "video/mp4" || !strings.Contains(w.Header().Get("Content-Disposition"), rec.FileName) {
		t.Errorf("%d %v, %d bytes of %d", w.Code, w.Header(), w.Body.Len(), len(content))
	}
	w = r.send(t.Context(), http.MethodGet, "/"+rec.ID+"/download", "", "Range", "bytes=10-19")
	if w.Code != http.StatusPartialContent || !bytes.Equal(w.Body.Bytes(), content[10:20]) {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
	if w := r.send(t.Context(), http.MethodGet, "/"+rec.ID+"/download", "", "Range", "bytes=99999999-"); w.Code != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("%d", w.Code)
	}
	r.ask(http.StatusNoContent, http.MethodDelete, "/"+rec.ID, "", nil)
	for _, request := range [][2]string{{http.MethodDelete, ""}, {http.MethodGet, ""}, {http.MethodGet, "/download"}} {
		r.ask(http.StatusNotFound, request[0], "/"+rec.ID+request[1], "", nil)
	}
	if all := r.list(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestSeveralAreRecordedAtOnceAndReadBackByTheirNames(t *testing.T) {
	r := newRecorder(t)
	first, second := r.start(`{"label":null}`), r.start(`{"label":"second_one"}`)
	for i := 2; i < atMost; i++ {
		r.start("{}")
	}
	r.ask(http.StatusConflict, http.MethodPost, "/start", "", nil)
	if first.ID == second.ID || len(r.list()) != atMost {
		t.Errorf("%+v", r.list())
	}
	r.service.Close()
	r.ask(http.StatusServiceUnavailable, http.MethodPost, "/start", "", nil)

	for _, file := range []string{"film.mp4", unfinished + "x.mp4", "00000000-0000-0000-0000-000000000000_x_99999999_000000.mp4"} {
		if err := os.WriteFile(filepath.Join(r.dir, file), []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	broken := "11111111-1111-1111-1111-111111111111"
	if err := os.WriteFile(filepath.Join(r.dir, broken+"_x_20200102_030405.mp4"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(r.dir, "22222222-2222-2222-2222-222222222222_x_20200102_030405.mp4")); err != nil {
		t.Fatal(err)
	}
	again := recordTo(t, r.dir, r.display)
	all := again.list()
	if len(all) != atMost+1 || all[0].ID != broken || all[0].Status != "failed" || all[0].StartTime != "2020-01-02T03:04:05Z" {
		t.Fatalf("%+v", all)
	}
	for _, rec := range all[1:] {
		if rec.Status != "completed" || rec.DurationSeconds == nil || rec.EndTime == "" {
			t.Errorf("%+v", rec)
		}
	}
	if !slices.ContainsFunc(all, func(rec Recording) bool { return rec.ID == second.ID && strings.Contains(rec.FileName, "_second_one_") }) {
		t.Errorf("%+v", all)
	}
	if !strings.Contains(again.get(first.ID).FileName, first.ID+"_session_") {
		t.Error("it has not the usual name")
	}
	again.stop(again.start("").ID)
	if _, err := os.Stat(filepath.Join(r.dir, unfinished+"x.mp4")); err == nil {
		t.Error("what a killed worker left is there still")
	}
}

func TestWhatIsLeftOfARecordingPlays(t *testing.T) {
	r := newRecorder(t)
	rec := r.start(`{"label":"cut off"}`)
	time.Sleep(5 * time.Second)
	r.service.mu.Lock()
	e := r.service.active[rec.ID]
	r.service.mu.Unlock()
	left := filepath.Join(t.TempDir(), strings.ReplaceAll(rec.FileName, rec.ID, "33333333-3333-3333-3333-333333333333"))
	content, err := os.ReadFile(rec.FilePath) // as a fork or a loss of power has it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if f := probe(t, left); len(f.Streams[0].Frames) < 2 {
		t.Errorf("%+v", f)
	}
	copied := recordTo(t, filepath.Dir(left), r.display).list()
	if len(copied) != 1 || copied[0].Status != "completed" || *copied[0].DurationSeconds < 3 {
		t.Errorf("%+v", copied)
	}
	if err := e.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-e.finished
	if got := r.get(rec.ID); got.Status != "failed" || got.DurationSeconds == nil || *got.DurationSeconds < 1 {
		t.Errorf("%+v", got)
	}
	probe(t, rec.FilePath)
	var f failure
	if r.ask(http.StatusInternalServerError, http.MethodPost, "/stop", fmt.Sprintf(`{"id":%q}`, rec.ID), &f); !strings.Contains(f.Message, "killed") {
		t.Errorf("%+v", f)
	}
	r.ask(http.StatusNoContent, http.MethodDelete, "/"+rec.ID, "", nil)
}

func TestBadRequestsAreRefused(t *testing.T) {
	r := recordTo(t, t.TempDir(), ":1")
	for _, label := range []string{"", ".hidden", "a/b", "../x", "a\nb", "ä", "a:b", "a\x00b", strings.Repeat("x", 101), "%2e"} {
		text, err := json.Marshal(map[string]string{"label": label})
		if err != nil {
			t.Fatal(err)
		}
		var f failure
		if r.ask(http.StatusBadRequest, http.MethodPost, "/start", string(text), &f); f.Code != "BAD_REQUEST" || !strings.Contains(f.Message, "label") {
			t.Errorf("%q: %+v", label, f)
		}
	}
	for _, body := range []string{`{"label":5}`, `[]`, `{"label":`, `x`} {
		var f failure
		if r.ask(http.StatusBadRequest, http.MethodPost, "/start", body, &f); f.Code != "INVALID_REQUEST_BODY" {
			t.Errorf("%s: %+v", body, f)
		}
	}
	for body, status := range map[string]int{``: 400, `{}`: 400, `{"id":""}`: 400, `{"id":7}`: 400, `{"id":"../../x"}`: 404, `{"id":"x"}`: 404} {
		r.ask(status, http.MethodPost, "/stop", body, nil)
	}
	for _, id := range []string{"x", "..%2f..%2fetc%2fpasswd", strings.Repeat("x", 10_000), "%00"} {
		for _, request := range [][2]string{{http.MethodGet, ""}, {http.MethodDelete, ""}, {http.MethodGet, "/download"}} {
			r.ask(http.StatusNotFound, request[0], "/"+id+request[1], "", nil)
		}
	}
	if all := r.list(); all == nil || len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestWithoutADisplayOrFFmpegNothingIsRecorded(t *testing.T) {
	r := recordTo(t, t.TempDir(), ":64999")
	var f failure
	if r.ask(http.StatusBadRequest, http.MethodPost, "/start", "", &f); !strings.Contains(f.Message, "start the desktop first") {
		t.Errorf("%+v", f)
	}
	if all := r.list(); len(all) != 0 || r.holds.Load() != 0 {
		t.Errorf("%+v, held %d times", all, r.holds.Load())
	}
	own := t.TempDir()
	for name, script := range map[string]string{"silent": "exec sleep 60", "wrong": "echo 'Unknown input format: x11grab' >&2; exit 1"} {
		if err := os.WriteFile(filepath.Join(own, "ffmpeg"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", own+":/usr/bin:/bin")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		w := r.send(ctx, http.MethodPost, "/start", "")
		cancel()
		if want := map[string]int{"silent": http.StatusRequestTimeout, "wrong": http.StatusServiceUnavailable}[name]; w.Code != want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if all := r.list(); len(all) != 0 || r.holds.Load() != 0 {
			t.Errorf("%s: %+v, held %d times", name, all, r.holds.Load())
		}
	}
}
