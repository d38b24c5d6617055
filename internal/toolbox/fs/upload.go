package fs

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type uploaded struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Type string `json:"type"`
}

// upload writes one file: the part "file" of a form, or the whole body.
func (s *Service) upload(w http.ResponseWriter, r *http.Request) error {
	asked, err := s.asked(r, "path")
	if err != nil {
		return err
	}
	var content io.Reader = r.Body
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "multipart/form-data" {
		form, err := r.MultipartReader()
		if err != nil {
			return wire.Bad("%v", err)
		}
		if content, err = filePart(form); err != nil {
			return err
		}
	}
	body := &tracked{r: content}
	if err := s.write(asked.path, body); err != nil {
		return body.explain(err)
	}
	wire.JSON(w, http.StatusOK, uploaded{Name: filepath.Base(asked.path), Path: asked.text, Type: "file"})
	return nil
}

// readingOn answers an error when all of the request has come: most clients read
// no answer before they have sent everything.
func readingOn(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return wire.Handler(func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		if err != nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		return err
	})
}

func filePart(form *multipart.Reader) (io.Reader, error) {
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return nil, wire.Bad(`the form has no part named "file"`)
		}
		if err != nil {
			return nil, wire.Bad("the form cannot be read: %v", err)
		}
		if part.FormName() == "file" {
			return part, nil
		}
	}
}

// tracked counts what was read, and remembers whether reading failed: then it is
// the client's doing.
type tracked struct {
	r   io.Reader
	n   int64
	err error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

func (t *tracked) explain(err error) error {
	if t.err != nil && errors.Is(err, t.err) {
		return wire.Bad("the upload ended before its end: %v", t.err)
	}
	return err
}
