package gateway

import (
	"context"
	"net/http"
	"net/url"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/fileurl"
)

// FileURLs judges signed URLs of files. Errors: faults.
type FileURLs interface {
	Admit(ctx context.Context, u fileurl.URL) error
}

// The parameters of a signed URL. That of the path is the toolbox's as well.
const (
	filePath      = "path"
	fileExpires   = "expires"
	fileSignature = "signature"
)

// isFileURL reports whether a request for the toolbox comes by a signed URL of a
// file. On other routes a parameter of that name is the toolbox's.
func isFileURL(r *http.Request, route string) bool {
	switch signedMethod(r) + " " + route {
	case "GET files/download", "POST files/upload-v2":
		return r.URL.Query().Has(fileSignature)
	}
	return false
}

// signedMethod is the one that a URL was signed for: who may GET may HEAD.
func signedMethod(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

// admitFileURL lets in who has a signed URL of a file, and takes out of the
// request what the agent need not know.
func (t *Toolbox) admitFileURL(r *http.Request, id string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Invalid("", "The query of the signed URL is not well-formed: use the URL exactly as it was created.")
	}
	for _, name := range []string{filePath, fileExpires, fileSignature} {
		if len(query[name]) > 1 { // the agent might take another one than was signed
			return fault.Invalid(name, "The signed URL has the parameter "+name+" more than once: use the URL exactly as it was created.")
		}
	}
	err = t.FileURLs.Admit(r.Context(), fileurl.URL{
		SandboxID: id, Method: signedMethod(r), Path: query.Get(filePath), Expires: query.Get(fileExpires), Signature: query.Get(fileSignature),
	})
	query.Del(fileExpires)
	query.Del(fileSignature)
	r.URL.RawQuery = query.Encode()
	return err
}
