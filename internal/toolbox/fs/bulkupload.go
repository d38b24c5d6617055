package fs

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	// maxPath limits the form's paths; Linux takes 4096 bytes.
	maxPath = 8 << 10
	// maxTold limits what is kept in memory of one form: paths, and errors.
	maxTold = 32 << 20
)

var formName = regexp.MustCompile(`^files\[(\d+)\]\.(path|file)$`)

// written is a file of a form that is there now.
type written struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// bulk is a form of files on its way in.
type bulk struct {
	service *Service
	paths   map[string]string // by number
	Files   []written         `json:"files"`
	failed  []string
	status  int
	told    int // bytes of all these
}

// bulkUpload writes the files of a form as they arrive: files[i].path names the
// place of files[i].file. One that fails does not keep the others from being
// written; the answer then is 507 when one did not find room, else 400, with a
// line for each that failed.
func (s *Service) bulkUpload(w http.ResponseWriter, r *http.Request) error {
	form, err := r.MultipartReader()
	if err != nil {
		return wire.Bad("the body must be multipart/form-data with pairs files[i].path and files[i].file: %v", err)
	}
	b := &bulk{service: s, paths: map[string]string{}, Files: []written{}, status: http.StatusBadRequest}
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.fail("the form cannot be read to its end: "+err.Error(), nil)
			break
		}
		if err := b.take(part); err != nil {
			return err
		}
	}
	switch {
	case len(b.failed) > 0:
		code := wire.BadRequest
		if b.status == http.StatusInsufficientStorage {
			code = wire.Internal
		}
		env := wire.NewEnvelope(r, wire.Errorf(b.status, code, "%s", strings.Join(b.failed, "; ")))
		env.Errors = b.failed
		_, _ = io.Copy(io.Discard, r.Body)
		wire.JSON(w, b.status, struct {
			wire.Envelope
			Files []written `json:"files"`
		}{env, b.Files})
		return nil
	case len(b.Files) == 0:
		return wire.Bad("the form has no files: send pairs files[i].path and files[i].file")
	}
	wire.JSON(w, http.StatusOK, b)
	return nil
}

// take takes one part. Errors end the form.
func (b *bulk) take(part *multipart.Part) error {
	name, filename := disposition(part)
	m := formName.FindStringSubmatch(name)
	switch {
	case m == nil: // a field of a newer client
	case m[2] == "path":
		p, err := io.ReadAll(io.LimitReader(part, maxPath+1))
		if err != nil || len(p) > maxPath {
			b.fail(name+" cannot be read or is too long", nil)
			break
		}
		b.paths[m[1]] = string(p)
		b.told += len(p) + len(m[1])
	default:
		path := b.paths[m[1]]
		if path == "" {
			path = filename
		}
		n, err := b.service.uploadPart(path, part)
		if err != nil {
			b.fail(name+" ("+path+"): "+err.Error(), err)
			break
		}
		b.Files = append(b.Files, written{path, n})
		b.told += len(path)
	}
	if b.told > maxTold {
		return wire.Errorf(http.StatusRequestEntityTooLarge, wire.InvalidRequestBody, "the paths of the files are more than %d bytes: upload fewer at once; %d are written", maxTold, len(b.Files))
	}
	return nil
}

func (b *bulk) fail(line string, err error) {
	b.failed = append(b.failed, line)
	b.told += len(line)
	if err != nil && wire.From(err).Status == http.StatusInsufficientStorage {
		b.status = http.StatusInsufficientStorage
	}
}

// uploadPart writes a file and counts its bytes.
func (s *Service) uploadPart(path string, part io.Reader) (int64, error) {
	if path == "" {
		return 0, wire.Bad("its path must come before it")
	}
	path, err := s.launcher.Path(path)
	if err != nil {
		return 0, err
	}
	body := &tracked{r: part}
	if err := s.write(path, body); err != nil {
		return 0, wire.From(body.explain(err))
	}
	return body.n, nil
}

// disposition returns a part's name and the whole of its file name, of which
// the standard library keeps only the last element.
func disposition(part *multipart.Part) (name, filename string) {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return part.FormName(), ""
	}
	return params["name"], params["filename"]
}
