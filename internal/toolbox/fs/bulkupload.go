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

// maxPath limits the form's paths; Linux takes 4096 bytes.
const maxPath = 8 << 10

var formName = regexp.MustCompile(`^files\[(\d+)\]\.(path|file)$`)

// bulkUpload writes the files of a form as they arrive: files[i].path names the
// place of files[i].file. One that fails does not keep the others from being
// written; the answer then is 507 when one did not find room, else 400, with a
// line for each that failed.
func (s *Service) bulkUpload(w http.ResponseWriter, r *http.Request) error {
	form, err := r.MultipartReader()
	if err != nil {
		return wire.Bad("the body must be multipart/form-data with pairs files[i].path and files[i].file: %v", err)
	}
	paths := map[string]string{}
	var failed []string
	files, status := 0, http.StatusBadRequest
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			failed = append(failed, "the form cannot be read to its end: "+err.Error())
			break
		}
		name, filename := disposition(part)
		m := formName.FindStringSubmatch(name)
		switch {
		case m == nil: // a field of a newer client
		case m[2] == "path":
			p, err := io.ReadAll(io.LimitReader(part, maxPath+1))
			if err != nil || len(p) > maxPath {
				failed = append(failed, name+" cannot be read or is too long")
				continue
			}
			paths[m[1]] = string(p)
		default:
			files++
			path := paths[m[1]]
			if path == "" {
				path = filename
			}
			if err := s.uploadPart(path, part); err != nil {
				failed = append(failed, name+" ("+path+"): "+err.Error())
				if wire.From(err).Status == http.StatusInsufficientStorage {
					status = http.StatusInsufficientStorage
				}
			}
		}
	}
	switch {
	case len(failed) > 0:
		code := wire.BadRequest
		if status == http.StatusInsufficientStorage {
			code = wire.Internal
		}
		env := wire.NewEnvelope(r, wire.Errorf(status, code, "%s", strings.Join(failed, "; ")))
		env.Errors = failed
		wire.JSON(w, status, env)
		return nil
	case files == 0:
		return wire.Bad("the form has no files: send pairs files[i].path and files[i].file")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Service) uploadPart(path string, part io.Reader) error {
	if path == "" {
		return wire.Bad("its path must come before it")
	}
	path, err := s.launcher.Path(path)
	if err != nil {
		return err
	}
	body := &tracked{r: part}
	if err := s.write(path, body); err != nil {
		return wire.From(body.explain(err))
	}
	return nil
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
