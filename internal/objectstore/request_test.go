package objectstore

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

const (
	organization = "6f1c7a52-8a3f-4f0e-9b43-0d6f2f0d3c11"
	neighbour    = "6f1c7a52-8a3f-4f0e-9b43-0d6f2f0d3c12"
	someUpload   = "0d9a5e0e-5d4c-4b4e-8a53-2f1f8f1f8a10"
)

func TestWhatClientsUseIsAllowed(t *testing.T) {
	const archive = organization + "/0cc175b9c0f1b6a831c399e269772661/context.tar"
	for name, c := range map[string]struct{ method, target, operation string }{
		"bucket":                {"HEAD", "/", "HeadBucket"},
		"bucket without slash":  {"HEAD", "", "HeadBucket"},
		"location":              {"GET", "/?location=", "GetBucketLocation"},
		"location, by AWS":      {"GET", "?location", "GetBucketLocation"},
		"list":                  {"GET", "/?list-type=2&prefix=" + organization + "%2Fabc%2F&max-keys=1&x-id=ListObjectsV2", "ListObjectsV2"},
		"list of the CLI":       {"GET", "/?delimiter=%2F&encoding-type=url&fetch-owner=true&list-type=2&prefix=" + organization, "ListObjectsV2"},
		"list of everything":    {"GET", "/?delimiter=&encoding-type=url&list-type=2&prefix=" + organization + "/", "ListObjectsV2"},
		"second page":           {"GET", "/?list-type=2&prefix=" + organization + "/&continuation-token=" + url.QueryEscape(archive), "ListObjectsV2"},
		"page after":            {"GET", "/?list-type=2&prefix=" + organization + "/&start-after=" + archive, "ListObjectsV2"},
		"list of one":           {"GET", "/?list-type=2&prefix=" + archive, "ListObjectsV2"},
		"head":                  {"HEAD", "/" + archive, "HeadObject"},
		"get":                   {"GET", "/" + archive + "?x-id=GetObject", "GetObject"},
		"put":                   {"PUT", "/" + archive + "?x-id=PutObject", "PutObject"},
		"directory":             {"PUT", "/" + organization + "/abc/", "PutObject"},
		"directory of all":      {"PUT", "/" + organization + "/", "PutObject"},
		"multipart":             {"POST", "/" + archive + "?uploads=", "CreateMultipartUpload"},
		"multipart, by AWS":     {"POST", "/" + archive + "?uploads&x-id=CreateMultipartUpload", "CreateMultipartUpload"},
		"part":                  {"PUT", "/" + archive + "?partNumber=10000&uploadId=" + someUpload, "UploadPart"},
		"parts":                 {"GET", "/" + archive + "?max-parts=1000&part-number-marker=0&uploadId=" + someUpload, "ListParts"},
		"complete":              {"POST", "/" + archive + "?uploadId=" + someUpload, "CompleteMultipartUpload"},
		"abort":                 {"DELETE", "/" + archive + "?uploadId=" + someUpload + "&x-id=AbortMultipartUpload", "AbortMultipartUpload"},
		"a name with all signs": {"HEAD", "/" + organization + "/a.B-c_9/context.tar", "HeadObject"},
	} {
		q, no := parse(httptest.NewRequest(c.method, "/"+Bucket+c.target, nil), organization)
		if no != nil || q.name != c.operation {
			t.Errorf("%s: %q, %+v", name, q.name, no)
		}
	}
}

// hostile are requests that must not reach the library. Its tests send them to
// a server, too.
func hostile() map[string]struct{ method, target string } {
	archive := "/" + organization + "/h/context.tar"
	c := map[string]struct{ method, target string }{
		"another's object":           {"GET", "/" + neighbour + "/h/context.tar"},
		"another's directory":        {"PUT", "/" + neighbour + "/"},
		"no prefix":                  {"PUT", "/context.tar"},
		"a prefix like ours":         {"PUT", "/" + organization + "0/h/context.tar"},
		"our prefix as an object":    {"PUT", "/" + organization},
		"up":                         {"GET", "/" + organization + "/../" + neighbour + "/h/context.tar"},
		"up, escaped":                {"GET", "/" + organization + "/%2e%2e/" + neighbour + "/h/context.tar"},
		"up, slashes too":            {"GET", "/" + organization + "%2f..%2f" + neighbour + "%2fh%2fcontext.tar"},
		"up, escaped twice":          {"GET", "/" + organization + "/%252e%252e/h/context.tar"},
		"up, overlong UTF-8":         {"GET", "/" + organization + "/%c0%ae%c0%ae/context.tar"},
		"up as a hash":               {"PUT", "/" + organization + "/../context.tar"},
		"backslashes":                {"PUT", "/" + organization + "/..%5c..%5ch/context.tar"},
		"absolute":                   {"PUT", "//etc/context.tar"},
		"absolute, below":            {"PUT", "/" + organization + "//etc/context.tar"},
		"NUL":                        {"PUT", "/" + organization + "/h%00/context.tar"},
		"newline":                    {"PUT", "/" + organization + "/h%0a/context.tar"},
		"overlong":                   {"PUT", "/" + organization + "/" + strings.Repeat("h", 129) + "/context.tar"},
		"other name":                 {"PUT", "/" + organization + "/h/other.tar"},
		"deeper":                     {"PUT", "/" + organization + "/h/i/context.tar"},
		"the library's own":          {"PUT", "/.sgwtmp/multipart/context.tar"},
		"the library's own, below":   {"PUT", "/" + organization + "/.sgwtmp/context.tar"},
		"a part of a directory":      {"PUT", "/" + organization + "/h/?partNumber=1&uploadId=" + someUpload},
		"a list of all":              {"GET", "/?list-type=2"},
		"a list of another's":        {"GET", "/?list-type=2&prefix=" + neighbour + "/"},
		"a list of those like us":    {"GET", "/?list-type=2&prefix=" + organization[:35]},
		"a list from above":          {"GET", "/?list-type=2&prefix=" + organization + "/../"},
		"a list after another's":     {"GET", "/?list-type=2&prefix=" + organization + "/&start-after=" + neighbour},
		"a page of another's":        {"GET", "/?list-type=2&prefix=" + organization + "/&continuation-token=" + neighbour + "/h/context.tar"},
		"a list of the first kind":   {"GET", "/?prefix=" + organization + "/"},
		"uploads of all":             {"GET", "/?uploads&prefix=" + organization + "/"},
		"another delimiter":          {"GET", "/?list-type=2&delimiter=h&prefix=" + organization + "/"},
		"an upload twice":            {"DELETE", archive + "?uploadId=" + someUpload + "&uploadId=../../x"},
		"an upload, other case":      {"DELETE", archive + "?uploadid=../../x&uploadId=" + someUpload},
		"a name that is escaped":     {"DELETE", archive + "?upload%49d=../../x"},
		"a semicolon":                {"DELETE", archive + "?uploadId=" + someUpload + ";uploadId=../../x"},
		"a query that is no query":   {"DELETE", archive + "?uploadId=" + someUpload + "&%zz=1"},
		"a part without a number":    {"PUT", archive + "?uploadId=" + someUpload},
		"part zero":                  {"PUT", archive + "?partNumber=0&uploadId=" + someUpload},
		"a part that is a path":      {"PUT", archive + "?partNumber=1%2f..%2f..&uploadId=" + someUpload},
		"a part too many":            {"PUT", archive + "?partNumber=10001&uploadId=" + someUpload},
		"a version":                  {"GET", archive + "?versionId=../../x"},
		"a version of nothing":       {"GET", archive + "?versionId=null"},
		"attributes":                 {"GET", archive + "?attributes"},
		"tags":                       {"PUT", archive + "?tagging"},
		"an ACL":                     {"GET", archive + "?acl"},
		"answers of another type":    {"GET", archive + "?response-content-type=text/html"},
		"a signature in the query":   {"GET", archive + "?X-Amz-Signature=x"},
		"a new bucket":               {"PUT", "/"},
		"the bucket deleted":         {"DELETE", "/"},
		"a policy":                   {"PUT", "/?policy"},
		"many deleted":               {"POST", "/?delete"},
		"an object deleted":          {"DELETE", archive},
		"a form":                     {"POST", "/"},
		"select":                     {"POST", archive + "?select&select-type=2"},
		"another method":             {"TRACE", archive},
		"the wrong operation's name": {"PUT", archive + "?x-id=DeleteObject"},
	}
	for name, id := range map[string]string{
		"up": "../../x", "up, escaped": "..%2f..%2fx", "up, escaped twice": "..%252f..%252fx", "up, backslashes": `..\..\x`, "here": ".", "above": "..",
		"absolute": "/etc", "empty": "", "NUL": someUpload + "%00", "a path": someUpload + "/../../x", "upper case": strings.ToUpper(someUpload), "newline": someUpload + "%0a", "a word": "x",
	} {
		for _, o := range operations {
			if len(o.sub) == 0 || o.sub[0] != "uploadId" {
				continue
			}
			target := archive + "?uploadId=" + id
			if o.name == "UploadPart" {
				target += "&partNumber=1"
			}
			c[o.name+" of an upload "+name] = struct{ method, target string }{o.method, target}
		}
	}
	return c
}

func TestWhatLeadsElsewhereIsRefused(t *testing.T) {
	for name, c := range hostile() {
		r := httptest.NewRequest(c.method, "/"+Bucket, nil)
		var err error
		if r.URL, err = url.ParseRequestURI("/" + Bucket + c.target); err != nil {
			t.Fatal(err)
		}
		if q, no := parse(r, organization); no == nil {
			t.Errorf("%s is allowed: %s %s as %s", name, c.method, c.target, q.name)
		}
	}
}

func TestHeadersAreHeldToWhatTheyMayBe(t *testing.T) {
	for name, c := range map[string]struct {
		name   string
		values []string
		ok     bool
	}{
		"a checksum":                {"x-amz-checksum-crc32", []string{"AAAAAA=="}, true},
		"streaming":                 {"x-amz-content-sha256", []string{"STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, true},
		"a type":                    {"content-type", []string{"application/x-tar"}, true},
		"a range":                   {"range", []string{"bytes=0-99"}, true},
		"another's":                 {"traceparent", []string{"anything \x80"}, true},
		"a copy":                    {"x-amz-copy-source", []string{"/" + Bucket + "/" + neighbour + "/h/context.tar"}, false},
		"a copy of a range":         {"x-amz-copy-source-range", []string{"bytes=0-1"}, false},
		"metadata":                  {"x-amz-meta-../../x", []string{"x"}, false},
		"an ACL":                    {"x-amz-acl", []string{"public-read"}, false},
		"a redirection":             {"x-amz-website-redirect-location", []string{"/x"}, false},
		"a lock":                    {"x-amz-object-lock-mode", []string{"COMPLIANCE"}, false},
		"tags":                      {"x-amz-tagging", []string{"a=b"}, false},
		"another method":            {"x-amz-meta", []string{""}, false},
		"two lengths":               {"x-amz-decoded-content-length", []string{"1", "2"}, false},
		"a negative length":         {"x-amz-decoded-content-length", []string{"-1"}, false},
		"a type of two lines":       {"content-type", []string{"a\nb"}, false},
		"a type too long":           {"content-type", []string{strings.Repeat("a", 257)}, false},
		"many ranges":               {"range", []string{"bytes=0-1,2-3"}, false},
		"a trailer that is no sum":  {"x-amz-trailer", []string{"x-amz-copy-source"}, false},
		"two tokens in one request": {"x-amz-security-token", []string{"a.b", "c.d"}, false},
	} {
		r := httptest.NewRequest(http.MethodPut, "/"+Bucket+"/"+organization+"/h/context.tar", nil)
		r.Header[http.CanonicalHeaderKey(c.name)] = c.values
		if _, no := parse(r, organization); (no == nil) != c.ok {
			t.Errorf("%s: %+v", name, no)
		}
	}
}

// FuzzRequest looks for a request that is allowed and means another path to
// the library, which reads it anew, than one below the organization's prefix.
func FuzzRequest(f *testing.F) {
	for _, c := range hostile() {
		f.Add(c.method, "/"+Bucket+c.target, "x-amz-copy-source", "/"+Bucket+"/"+neighbour)
	}
	f.Add("PUT", "/"+Bucket+"/"+organization+"/h/context.tar?partNumber=1&uploadId="+someUpload, "content-type", "a")
	f.Add("GET", "/"+Bucket+"?list-type=2&prefix="+organization+"/", "range", "bytes=0-1")
	f.Fuzz(func(t *testing.T, method, target, header, value string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{http.CanonicalHeaderKey(header): {value}}}
		q, no := parse(r, organization)
		if no != nil {
			return
		}
		var seen fasthttp.URI
		if err := seen.Parse(nil, []byte((&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: q.query.Encode()}).RequestURI())); err != nil {
			t.Fatal(err)
		}
		name, err := url.PathUnescape(string(seen.PathOriginal()))
		if err != nil {
			t.Fatal(err)
		}
		key := strings.TrimPrefix(strings.TrimPrefix(name, "/"+Bucket), "/")
		if key != q.key || key != "" && (!filepath.IsLocal(key) || !strings.HasPrefix(path.Clean(key)+"/", organization+"/") || strings.Trim(key, "/") != path.Clean(key)) {
			t.Errorf("%s %q is %q to the library, %q here", method, target, key, q.key)
		}
		args := seen.QueryArgs()
		if args.Len() != len(q.query) {
			t.Errorf("%q has %d parameters for the library, %d here", target, args.Len(), len(q.query))
		}
		for parameter, all := range q.query {
			got := string(args.Peek(parameter))
			if got != all[0] {
				t.Errorf("%s of %q is %q to the library, %q here", parameter, target, got, all[0])
			}
			if parameter == "uploadId" && uuid.Validate(got) != nil || strings.Contains(got, "..") && !strings.HasPrefix(got, organization) {
				t.Errorf("%s of %q is %q", parameter, target, got)
			}
			if rest, own := strings.CutPrefix(got, organization); own && rest != "" && !filepath.IsLocal(organization+strings.TrimSuffix(rest, "/")) {
				t.Errorf("%s of %q leads out of the prefix: %q", parameter, target, got)
			}
		}
		if key == "" && q.name == "ListObjectsV2" && !strings.HasPrefix(string(args.Peek("prefix")), organization) {
			t.Errorf("%q lists what is not ours", target)
		}
		if strings.HasPrefix(http.CanonicalHeaderKey(header), "X-Amz-Copy") || strings.HasPrefix(http.CanonicalHeaderKey(header), "X-Amz-Meta") {
			t.Errorf("the header %q is allowed", header)
		}
	})
}
