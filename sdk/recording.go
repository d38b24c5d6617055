package daytona

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Recordings are films of the desktop, as MP4 files in the sandbox. Errors of all:
// ErrUnreachable where the image has no ffmpeg (Error.Code is
// RECORDING_FFMPEG_NOT_FOUND).
type Recordings struct{ sandbox *Sandbox }

// Recording is one. While it goes on, it has no end, length and size yet.
type Recording struct {
	ID              string  `json:"id"`
	FileName        string  `json:"fileName"`
	FilePath        string  `json:"filePath"`
	Status          string  `json:"status"`    // recording, completed or failed
	StartTime       string  `json:"startTime"` // RFC 3339, as EndTime
	EndTime         string  `json:"endTime"`
	DurationSeconds float64 `json:"durationSeconds"`
	SizeBytes       int64   `json:"sizeBytes"`
}

// Start begins a recording, and returns when the first picture is taken. label is
// a part of the file's name; it may be empty. Errors: ErrInvalid when the desktop
// is not started, or for a label that cannot be in a file's name; ErrConflict when
// too many recordings go on.
func (r *Recordings) Start(ctx context.Context, label string) (*Recording, error) {
	body := map[string]any{}
	if label != "" {
		body["label"] = label
	}
	return r.one(ctx, http.MethodPost, "/start", body)
}

// Stop ends a recording. Errors: ErrNotFound when it does not go on.
func (r *Recordings) Stop(ctx context.Context, id string) (*Recording, error) {
	return r.one(ctx, http.MethodPost, "/stop", map[string]any{"id": id})
}

// Get tells of a recording. Errors: ErrNotFound.
func (r *Recordings) Get(ctx context.Context, id string) (*Recording, error) {
	return r.one(ctx, http.MethodGet, "/"+url.PathEscape(id), nil)
}

// List tells of all recordings, by their start.
func (r *Recordings) List(ctx context.Context) ([]Recording, error) {
	var out struct {
		Recordings []Recording `json:"recordings"`
	}
	err := r.sandbox.call(ctx, request{method: http.MethodGet, url: recordingsRoute}, &out)
	return out.Recordings, err
}

// Delete deletes a recording. Errors: ErrNotFound, ErrConflict while it goes on.
func (r *Recordings) Delete(ctx context.Context, id string) error {
	return r.sandbox.call(ctx, request{method: http.MethodDelete, url: recordingsRoute + "/" + url.PathEscape(id)}, nil)
}

// Download reads the film of a recording; the caller closes it. One of which not
// all arrives ends in io.ErrUnexpectedEOF. Errors: ErrNotFound, ErrConflict while
// it goes on.
func (r *Recordings) Download(ctx context.Context, id string) (io.ReadCloser, error) {
	address, err := r.sandbox.toolbox(ctx, recordingsRoute+"/"+url.PathEscape(id)+"/download")
	if err != nil {
		return nil, err
	}
	resp, err := r.sandbox.client.send(ctx, request{method: http.MethodGet, url: address})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

const recordingsRoute = "/computeruse/recordings"

func (r *Recordings) one(ctx context.Context, method, route string, body map[string]any) (*Recording, error) {
	req := request{method: method, url: recordingsRoute + route}
	if body != nil {
		req.body = body
	}
	var out Recording
	if err := r.sandbox.call(ctx, req, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
