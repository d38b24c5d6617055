package daytona

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// DownloadURL signs a URL that downloads a file of the sandbox without an API
// key, by any HTTP client. It works while the sandbox is started, for life from
// now, or until RotateSigningKey when life is 0; path is relative to the working
// directory or absolute, and need not exist yet. Errors: ErrNotFound; ErrForbidden
// for a key that may not use the toolbox.
func (s *Sandbox) DownloadURL(ctx context.Context, path string, life time.Duration) (string, error) {
	return s.signFile(ctx, http.MethodGet, "/files/download", path, life)
}

// UploadURL signs one that uploads a file: by POST, with the content as the part
// "file" of a form or as the whole body. All else is as for DownloadURL.
func (s *Sandbox) UploadURL(ctx context.Context, path string, life time.Duration) (string, error) {
	return s.signFile(ctx, http.MethodPost, "/files/upload-v2", path, life)
}

// RotateSigningKey ends all URLs that DownloadURL and UploadURL have signed for
// the sandbox, here and elsewhere. Errors: as for DownloadURL.
func (s *Sandbox) RotateSigningKey(ctx context.Context) error {
	return s.client.do(ctx, request{method: http.MethodPost, url: s.path("/signing-key/rotate")}, nil)
}

func (s *Sandbox) signFile(ctx context.Context, method, route, path string, life time.Duration) (string, error) {
	if path == "" {
		return "", &Error{StatusCode: http.StatusBadRequest, Code: "BAD_REQUEST", Message: "A signed URL needs the path of a file."}
	}
	address, err := s.toolbox(ctx, route)
	if err != nil {
		return "", err
	}
	var key string
	if err := s.client.do(ctx, request{method: http.MethodGet, url: s.path("/signing-key")}, &key); err != nil {
		return "", err
	}
	expires := "0"
	if life > 0 {
		expires = strconv.FormatInt(time.Now().Add(life).Unix(), 10)
	}
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte("v1:files:" + method + ":" + path + ":" + expires))
	signature := "v1_" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	return address + "?" + url.Values{"path": {path}, "expires": {expires}, "signature": {signature}}.Encode(), nil
}
