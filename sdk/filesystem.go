package daytona

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// FileSystem reads and writes the files of a sandbox, as its user. Relative
// paths start from its working directory. Errors of all: ErrForbidden where the
// user may not, ErrConflict when the sandbox is not started.
type FileSystem struct{ sandbox *Sandbox }

// FileInfo tells of a file.
type FileInfo struct {
	Name        string `json:"name"`
	Path        string `json:"path"`
	IsDir       bool   `json:"isDir"`
	Size        int64  `json:"size"`        // bytes
	Mode        string `json:"mode"`        // like -rw-r--r--
	Permissions string `json:"permissions"` // octal, like 0644
	Owner       string `json:"owner"`
	Group       string `json:"group"`
	ModifiedAt  string `json:"modifiedAt"` // RFC 3339
}

// UploadFile writes a file, with the directories it needs.
func (f *FileSystem) UploadFile(ctx context.Context, content []byte, remote string) error {
	return f.UploadFileStream(ctx, bytes.NewReader(content), remote)
}

// UploadFileStream writes a file from r, holding no more than a buffer of it in
// memory. The file is there as a whole or not at all.
func (f *FileSystem) UploadFileStream(ctx context.Context, r io.Reader, remote string) error {
	var envelope bytes.Buffer
	form := multipart.NewWriter(&envelope)
	if _, err := form.CreateFormFile("file", path.Base(remote)); err != nil {
		return fmt.Errorf("upload %q: %w", remote, err)
	}
	head := envelope.Len()
	if err := form.Close(); err != nil {
		return fmt.Errorf("upload %q: %w", remote, err)
	}
	tail := strings.NewReader(envelope.String()[head:])
	envelope.Truncate(head)
	return f.sandbox.call(ctx, request{
		method: http.MethodPost, url: "/files/upload-v2", query: at(remote),
		raw: io.MultiReader(&envelope, &source{r, remote}, tail), kind: form.FormDataContentType(),
	}, nil)
}

// source tells a reader that fails from a server that does.
type source struct {
	io.Reader
	remote string
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &sourceError{fmt.Errorf("read what to upload as %q: %w", s.remote, err)}
	}
	return n, err
}

type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// DownloadFile reads a file into memory. Errors: ErrNotFound.
func (f *FileSystem) DownloadFile(ctx context.Context, remote string) ([]byte, error) {
	r, err := f.DownloadFileStream(ctx, remote)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("download %q: %w", remote, err)
	}
	return content, nil
}

// DownloadFileStream reads a file; the caller closes it. A file of which not all
// arrives ends in io.ErrUnexpectedEOF. Errors: ErrNotFound.
func (f *FileSystem) DownloadFileStream(ctx context.Context, remote string) (io.ReadCloser, error) {
	address, err := f.sandbox.toolbox(ctx, "/files/download")
	if err != nil {
		return nil, err
	}
	resp, err := f.sandbox.client.send(ctx, request{method: http.MethodGet, url: address, query: at(remote)})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// ListFiles lists a directory. Errors: ErrNotFound.
func (f *FileSystem) ListFiles(ctx context.Context, remote string) ([]FileInfo, error) {
	var out []FileInfo
	err := f.sandbox.call(ctx, request{method: http.MethodGet, url: "/files", query: at(remote)}, &out)
	return out, err
}

// ListTree lists a directory and what is below it down to depth, 1 for the
// directory alone, each entry before its children. It goes through no symbolic
// links. Errors: ErrNotFound; ErrInvalid for a depth below 1.
func (f *FileSystem) ListTree(ctx context.Context, remote string, depth int) ([]FileInfo, error) {
	q := at(remote)
	q.Set("depth", strconv.Itoa(depth))
	var out []FileInfo
	err := f.sandbox.call(ctx, request{method: http.MethodGet, url: "/files", query: q}, &out)
	return out, err
}

// GetFileDetails tells of one file. Errors: ErrNotFound.
func (f *FileSystem) GetFileDetails(ctx context.Context, remote string) (*FileInfo, error) {
	var out FileInfo
	if err := f.sandbox.call(ctx, request{method: http.MethodGet, url: "/files/info", query: at(remote)}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// CreateFolder makes a directory and its parents; mode is octal ("0755").
func (f *FileSystem) CreateFolder(ctx context.Context, remote, mode string) error {
	q := at(remote)
	q.Set("mode", mode)
	return f.sandbox.call(ctx, request{method: http.MethodPost, url: "/files/folder", query: q}, nil)
}

// DeleteFile deletes a file, or with recursive a directory with all in it.
func (f *FileSystem) DeleteFile(ctx context.Context, remote string, recursive bool) error {
	q := at(remote)
	if recursive {
		q.Set("recursive", "true")
	}
	return f.sandbox.call(ctx, request{method: http.MethodDelete, url: "/files", query: q}, nil)
}

// MoveFiles renames a file or directory. Errors: ErrNotFound, ErrConflict.
func (f *FileSystem) MoveFiles(ctx context.Context, source, destination string) error {
	return f.sandbox.call(ctx, request{method: http.MethodPost, url: "/files/move", query: url.Values{"source": {source}, "destination": {destination}}}, nil)
}

// Match is a line that FindFiles found.
type Match struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1
	Content string `json:"content"`
}

// FindFiles searches a file, or all below a directory, for lines that contain
// pattern as it is. Errors: ErrNotFound.
func (f *FileSystem) FindFiles(ctx context.Context, remote, pattern string) ([]Match, error) {
	q := at(remote)
	q.Set("pattern", pattern)
	var out []Match
	err := f.sandbox.call(ctx, request{method: http.MethodGet, url: "/files/find", query: q}, &out)
	return out, err
}

// SearchFiles searches the names of all files below a directory by a glob, like
// *.py, and returns their paths. Errors: ErrNotFound.
func (f *FileSystem) SearchFiles(ctx context.Context, remote, pattern string) ([]string, error) {
	q := at(remote)
	q.Set("pattern", pattern)
	var out struct{ Files []string }
	err := f.sandbox.call(ctx, request{method: http.MethodGet, url: "/files/search", query: q}, &out)
	return out.Files, err
}

// ReplaceResult tells how replacing went in one file.
type ReplaceResult struct {
	File    string `json:"file"`
	Success bool   `json:"success"`
	Error   string `json:"error"`
}

// ReplaceInFiles replaces pattern, as it is, by newValue everywhere in the files.
// One that fails does not keep the others from it: look at each result.
func (f *FileSystem) ReplaceInFiles(ctx context.Context, files []string, pattern, newValue string) ([]ReplaceResult, error) {
	var out []ReplaceResult
	err := f.sandbox.call(ctx, request{method: http.MethodPost, url: "/files/replace", body: map[string]any{
		"files": files, "pattern": pattern, "newValue": newValue,
	}}, &out)
	return out, err
}

// Permissions of a file; what is "" stays as it is.
type Permissions struct {
	Owner, Group string // names or ids
	Mode         string // octal, like 0755
}

// SetFilePermissions changes a file's owner, group or mode.
func (f *FileSystem) SetFilePermissions(ctx context.Context, remote string, p Permissions) error {
	q := at(remote)
	for key, value := range map[string]string{"owner": p.Owner, "group": p.Group, "mode": p.Mode} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return f.sandbox.call(ctx, request{method: http.MethodPost, url: "/files/permissions", query: q}, nil)
}

func at(remote string) url.Values { return url.Values{"path": {remote}} }
