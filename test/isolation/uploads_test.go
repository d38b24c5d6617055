package isolation

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/test/serve"
)

// uploader has credentials that any key may ask for.
type uploader struct {
	t *testing.T
	api.StorageAccess
}

func newUploader(t *testing.T, s *serve.Server) uploader {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Data, "credentials.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ APIURL, APIKey string }
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.APIURL+"/object-storage/push-access", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+c.APIKey)
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	u := uploader{t: t}
	if err := json.NewDecoder(res.Body).Decode(&u.StorageAccess); err != nil || u.Bucket == "" {
		t.Fatalf("credentials for uploads: %s, %v", res.Status, err)
	}
	return u
}

// send sends a request as it is written, signed.
func (u uploader) send(method, target, body string, header http.Header) (status int, answer string) {
	u.t.Helper()
	at, err := url.Parse(u.StorageURL)
	if err != nil {
		u.t.Fatal(err)
	}
	path, query, _ := strings.Cut("/"+u.Bucket+target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		u.t.Fatal(err)
	}
	q := (&http.Request{
		Method: method, Host: at.Host, Header: header.Clone(), Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		URL: &url.URL{Scheme: at.Scheme, Host: at.Host, Path: plain, RawPath: path, RawQuery: query},
	}).WithContext(u.t.Context())
	if q.Header == nil {
		q.Header = http.Header{}
	}
	q.Header.Set("X-Amz-Content-Sha256", fmt.Sprintf("%x", sha256.Sum256([]byte(body))))
	q = signer.SignV4(*q, u.AccessKey, u.Secret, u.SessionToken, u.Region)
	q.URL.Opaque, q.URL.RawQuery = "//"+at.Host+path, query
	res, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		u.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// A client that may upload, and names what is not its own in every part of its
// requests that becomes a path.
func TestUploadsReachNothingButTheirOwn(t *testing.T) {
	s := serve.New(t)
	u := newUploader(t, s)
	outside, err := os.MkdirTemp("", "canary-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	canaries := []string{outside + "/canary/file", filepath.Join(s.Data, "contexts/objects", u.Bucket, "another/h/context.tar")}
	for _, c := range canaries {
		if err := os.MkdirAll(filepath.Dir(c), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c, []byte("alive"), 0o666); err != nil {
			t.Fatal(err)
		}
		for dir := filepath.Dir(c); strings.HasPrefix(dir, outside) || strings.HasSuffix(dir, "/h") || strings.HasSuffix(dir, "/another"); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	own := "/" + u.OrganizationID + "/h/context.tar"

	// The client can do what it may.
	if status, answer := u.send(http.MethodPut, own, "x", nil); status != http.StatusOK {
		t.Fatalf("an upload: %d %s", status, answer)
	}
	status, answer := u.send(http.MethodPost, own+"?uploads=", "", nil)
	id := regexp.MustCompile(`<UploadId>(.*)</UploadId>`).FindStringSubmatch(answer)
	if status != http.StatusOK || id == nil {
		t.Fatalf("an upload in parts: %d %s", status, answer)
	}
	if status, answer := u.send(http.MethodPut, own+"?partNumber=1&uploadId="+id[1], "x", nil); status != http.StatusOK {
		t.Fatalf("a part: %d %s", status, answer)
	}

	up := strings.Repeat("../", 14)
	escaped := strings.NewReplacer("/", "%2f", ".", "%2e")
	spellings := func(path string) []string {
		return []string{
			path, url.QueryEscape(path), escaped.Replace(path), url.QueryEscape(url.QueryEscape(path)), strings.ReplaceAll(path, "/", "%5c"),
			path + "%00", id[1] + "/" + path, id[1] + "&uploadId=" + path, id[1] + ";uploadId=" + path,
		}
	}
	attack := func(method, target string, header http.Header) {
		t.Helper()
		body := ""
		if method == http.MethodPut {
			body = "hostile"
		} else if method == http.MethodPost {
			body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>`
		}
		status, answer := u.send(method, target, body, header)
		if status < 400 || strings.Contains(answer, "alive") {
			t.Errorf("%s %s: %d %s", method, target, status, answer)
		}
		// What is not there is answered the same way.
		none := strings.NewReplacer("canary", "absent", "another", "absenth").Replace(target)
		if other, _ := u.send(method, none, body, header); other != status {
			t.Errorf("%s %s tells what is there: %d, and %d for %s", method, target, status, other, none)
		}
	}
	for _, target := range []string{outside[1:] + "/canary", outside[1:] + "/canary/file", "another/h"} {
		for _, spelling := range spellings(up + target) {
			attack(http.MethodDelete, own+"?uploadId="+spelling, nil)
			attack(http.MethodPut, own+"?partNumber=7&uploadId="+spelling, nil)
			attack(http.MethodGet, own+"?uploadId="+spelling, nil)
			attack(http.MethodPost, own+"?uploadId="+spelling, nil)
		}
		for _, key := range []string{
			"/" + u.OrganizationID + "/" + up + target, "/" + u.OrganizationID + "/" + escaped.Replace(up+target), "/" + u.OrganizationID + "/..%5c..%5c" + target,
			"/" + target, "//" + target, "/" + u.OrganizationID + "/h%00/" + target, "/" + u.OrganizationID + "/" + strings.Repeat("h", 5000) + "/" + target,
			"/another/h/context.tar", "/" + u.OrganizationID + "/%2e%2e/another/h/context.tar",
		} {
			attack(http.MethodPut, key, nil)
			attack(http.MethodGet, key, nil)
			attack(http.MethodHead, key, nil)
			attack(http.MethodDelete, key, nil)
			attack(http.MethodPost, key+"?uploads", nil)
			attack(http.MethodPut, own, http.Header{"X-Amz-Copy-Source": {"/" + u.Bucket + key}})
			attack(http.MethodPut, own+"?partNumber=1&uploadId="+id[1], http.Header{"X-Amz-Copy-Source": {"/" + u.Bucket + key}})
			attack(http.MethodGet, "/?list-type=2&prefix="+url.QueryEscape(key[1:]), nil)
		}
		attack(http.MethodGet, own+"?versionId="+url.QueryEscape(up+target), nil)
		attack(http.MethodPut, own, http.Header{"X-Amz-Meta-Canary": {up + target}})
	}
	for _, c := range canaries {
		if b, err := os.ReadFile(c); err != nil || string(b) != "alive" {
			t.Errorf("%s: %q, %v", c, b, err)
		}
	}
	var left []string
	if err := filepath.WalkDir(outside, func(path string, _ os.DirEntry, err error) error {
		left = append(left, path)
		return err
	}); err != nil || len(left) != 3 {
		t.Errorf("outside are %q, %v", left, err)
	}

	// The upload in parts outlives the server and what it had running.
	s.End(unix.SIGKILL)
	s.Start()
	if status, answer := u.send(http.MethodGet, own+"?uploadId="+id[1], "", nil); status != http.StatusOK || !strings.Contains(answer, "<PartNumber>1</PartNumber>") {
		t.Errorf("the parts after kill -9: %d %s", status, answer)
	}
	if status, answer := u.send(http.MethodPost, own+"?uploadId="+id[1], `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>9dd4e461268c8034f5c8564e155c67a6</ETag></Part></CompleteMultipartUpload>`, nil); status != http.StatusOK {
		t.Errorf("completion after kill -9: %d %s", status, answer)
	}
}
