package fs

import (
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// bulkDownload sends files as the parts of a form: "file" with the content, or
// "error" with an envelope, each under the path that was asked for.
func (s *Service) bulkDownload(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Paths []string `json:"paths"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if len(req.Paths) == 0 {
		return wire.Bad("paths is missing or empty")
	}
	form := multipart.NewWriter(w)
	w.Header().Set("Content-Type", form.FormDataContentType())
	for _, path := range req.Paths {
		if r.Context().Err() != nil {
			break
		}
		if err := s.sendPart(form, r, path); err != nil {
			panic(http.ErrAbortHandler) // a missing end tells the client
		}
	}
	if form.Close() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (s *Service) sendPart(form *multipart.Writer, r *http.Request, asked string) error {
	path, err := s.launcher.Path(asked)
	if err != nil {
		return sendError(form, r, asked, err)
	}
	f, err := s.openWhole(path)
	if err != nil {
		return sendError(form, r, asked, err)
	}
	defer f.Close()
	header := partHeader("file", asked, "application/octet-stream")
	if f.size == unknown {
		part, err := form.CreatePart(header)
		if err != nil {
			return err
		}
		_, err = io.Copy(part, f)
		return err
	}
	header.Set("Content-Length", strconv.FormatInt(f.size, 10))
	part, err := form.CreatePart(header)
	if err != nil {
		return err
	}
	_, err = io.CopyN(part, f, f.size)
	return err
}

func sendError(form *multipart.Writer, r *http.Request, asked string, cause error) error {
	env := wire.NewEnvelope(r, cause)
	env.Path = asked
	switch {
	case env.Code == wire.BadRequest:
		env.Code = wire.InvalidFilePath
	case env.StatusCode >= 500:
		env.Code = wire.FileReadFailed
	}
	part, err := form.CreatePart(partHeader("error", asked, "application/json"))
	if err != nil {
		return err
	}
	return json.NewEncoder(part).Encode(env)
}

// partHeader names the path in full. Its plain form is for clients that know
// no other; the extended one (RFC 5987) holds what a header cannot.
func partHeader(name, path, contentType string) textproto.MIMEHeader {
	plain := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '_'
		}
		return c
	}, path)
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain)
	value := fmt.Sprintf(`form-data; name=%q; filename="%s"`, name, escaped)
	if escaped != path {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
	}
	return textproto.MIMEHeader{"Content-Disposition": {value}, "Content-Type": {contentType}}
}
