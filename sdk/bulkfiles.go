package daytona

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"

	"github.com/opendaytona/daytona/api"
)

// FileUpload is one file to upload.
type FileUpload struct {
	Source      io.Reader
	Destination string
}

// UploadFiles writes several files by one request, holding no more than a buffer
// of one in memory. Each is there as a whole or not at all; one that fails does
// not keep the others from being written, and the error has a line for each that
// did.
func (f *FileSystem) UploadFiles(ctx context.Context, files ...FileUpload) error {
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.CloseWithError(writeForm(form, files))
	}()
	err := f.sandbox.call(ctx, request{method: http.MethodPost, url: "/files/bulk-upload", raw: r, kind: form.FormDataContentType()}, nil)
	r.CloseWithError(errors.New("the request has ended"))
	<-sent
	return err
}

func writeForm(form *multipart.Writer, files []FileUpload) error {
	for i, file := range files {
		if err := form.WriteField(fmt.Sprintf("files[%d].path", i), file.Destination); err != nil {
			return err
		}
		part, err := form.CreateFormFile(fmt.Sprintf("files[%d].file", i), path.Base(file.Destination))
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, &source{file.Source, file.Destination}); err != nil {
			return err
		}
	}
	return form.Close()
}

// DownloadFiles reads several files by one request and gives each to receive in
// turn, as a stream that ends when receive returns. For one that cannot be read,
// content is nil and failure says why; *Error, such as ErrNotFound. An error of
// receive ends it all.
func (f *FileSystem) DownloadFiles(ctx context.Context, paths []string, receive func(path string, content io.Reader, failure error) error) error {
	if len(paths) == 0 {
		return nil
	}
	address, err := f.sandbox.toolbox(ctx, "/files/bulk-download")
	if err != nil {
		return err
	}
	resp, err := f.sandbox.client.send(ctx, request{method: http.MethodPost, url: address, body: map[string]any{"paths": paths}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("download %d files: %w", len(paths), err)
	}
	form := multipart.NewReader(resp.Body, params["boundary"])
	for _, p := range paths { // a part for each, in their order
		part, err := form.NextRawPart()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("download %q: %w", p, err)
		}
		if part.FormName() == "error" {
			var said api.Error
			if err := json.NewDecoder(part).Decode(&said); err != nil {
				return fmt.Errorf("download %q: %w", p, err)
			}
			failure := &Error{StatusCode: said.StatusCode, Code: said.Code, Message: said.Message, Source: said.Source, Method: resp.Request.Method, URL: resp.Request.URL.Path}
			if err := receive(p, nil, failure); err != nil {
				return err
			}
			continue
		}
		if err := receive(p, part, nil); err != nil {
			return err
		}
	}
	return nil
}
