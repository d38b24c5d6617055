package objectstore

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// The grammar of what clients may ask for. It lists the operations that the
// official clients use and every parameter and header of them that the library
// behind acts on, each with the values it may have; all else is refused before
// the library sees it. Values have no character that means anything in a path.

// operation is one of S3's operations, by its name there.
type operation struct {
	name   string
	method string
	// keys says what the request's path may name; nil is the bucket.
	keys *regexp.Regexp
	// sub are the parameters that make a request this operation: it has all of
	// them, and those of no other operation.
	sub []string
	// optional are its other parameters.
	optional []string
	// maxBody is the most bytes of its body, which for uploads is Options.MaxSize.
	maxBody int64
	upload  bool
}

// partsBody is room for a list of 10,000 parts with their checksums.
const partsBody = 4 << 20

// What an object may be called, below the organization's prefix.
var (
	archiveKey = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}/context\.tar$`)
	// objectKey is an archive, or an empty object that stands for its directory.
	objectKey = regexp.MustCompile(`^(?:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}/(?:context\.tar)?)?$`)
	// keyPrefix is the beginning of any of them.
	keyPrefix = regexp.MustCompile(`^(?:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}(?:/[a-z.]{0,11})?)?$`)
)

var operations = []operation{
	{name: "HeadBucket", method: http.MethodHead},
	{name: "GetBucketLocation", method: http.MethodGet, sub: []string{"location"}},
	{name: "ListObjectsV2", method: http.MethodGet, sub: []string{"list-type"}, optional: []string{"prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"}},
	{name: "HeadObject", method: http.MethodHead, keys: objectKey},
	{name: "GetObject", method: http.MethodGet, keys: archiveKey},
	{name: "PutObject", method: http.MethodPut, keys: objectKey, upload: true},
	{name: "CreateMultipartUpload", method: http.MethodPost, keys: archiveKey, sub: []string{"uploads"}},
	{name: "UploadPart", method: http.MethodPut, keys: archiveKey, sub: []string{"uploadId", "partNumber"}, upload: true},
	{name: "CompleteMultipartUpload", method: http.MethodPost, keys: archiveKey, sub: []string{"uploadId"}, maxBody: partsBody},
	{name: "AbortMultipartUpload", method: http.MethodDelete, keys: archiveKey, sub: []string{"uploadId"}},
	{name: "ListParts", method: http.MethodGet, keys: archiveKey, sub: []string{"uploadId"}, optional: []string{"max-parts", "part-number-marker"}},
}

// subresources are the parameters that choose an operation.
var subresources = func() (all []string) {
	for _, o := range operations {
		all = append(all, o.sub...)
	}
	return all
}()

// values are what each parameter may be. Those that name objects are checked
// against the organization's prefix as well.
var values = map[string]*regexp.Regexp{
	"x-id":               regexp.MustCompile(`^[a-zA-Z0-9]{1,40}$`), // the operation's name
	"location":           regexp.MustCompile(`^$`),
	"list-type":          regexp.MustCompile(`^2$`),
	"delimiter":          regexp.MustCompile(`^/?$`),
	"max-keys":           regexp.MustCompile(`^[0-9]{1,4}$`),
	"encoding-type":      regexp.MustCompile(`^url$`),
	"fetch-owner":        regexp.MustCompile(`^(?:true|false)$`),
	"uploads":            regexp.MustCompile(`^$`),
	"uploadId":           regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`),
	"partNumber":         regexp.MustCompile(`^(?:[1-9][0-9]{0,3}|10000)$`),
	"max-parts":          regexp.MustCompile(`^[0-9]{1,4}$`),
	"part-number-marker": regexp.MustCompile(`^[0-9]{1,5}$`),
}

// ownKeys are the parameters whose value is a key, or the beginning of one.
var ownKeys = []string{"prefix", "continuation-token", "start-after"}

// headers are those that the library acts on, with what they may be. A request
// with another one of Amazon's is refused; what neither Amazon nor HTTP defines
// for it, the library does not look at.
var headers = map[string]*regexp.Regexp{
	"X-Amz-Checksum-Algorithm":     regexp.MustCompile(`^(?i:crc32|crc32c|crc64nvme|sha1|sha256)$`),
	"X-Amz-Checksum-Crc32":         base64Text,
	"X-Amz-Checksum-Crc32c":        base64Text,
	"X-Amz-Checksum-Crc64nvme":     base64Text,
	"X-Amz-Checksum-Mode":          regexp.MustCompile(`^(?i:enabled)$`),
	"X-Amz-Checksum-Sha1":          base64Text,
	"X-Amz-Checksum-Sha256":        base64Text,
	"X-Amz-Checksum-Type":          regexp.MustCompile(`^(?i:composite|full_object)$`),
	"X-Amz-Content-Sha256":         regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`),
	"X-Amz-Date":                   regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`),
	"X-Amz-Decoded-Content-Length": regexp.MustCompile(`^[0-9]{1,18}$`),
	"X-Amz-Mp-Object-Size":         regexp.MustCompile(`^[0-9]{1,18}$`),
	"X-Amz-Sdk-Checksum-Algorithm": regexp.MustCompile(`^(?i:crc32|crc32c|crc64nvme|sha1|sha256)$`),
	"X-Amz-Security-Token":         regexp.MustCompile(`^[0-9a-zA-Z_.-]{1,1000}$`),
	"X-Amz-Trailer":                regexp.MustCompile(`^(?i:x-amz-checksum-[0-9a-z]{1,16})$`),
	"X-Amz-User-Agent":             plainText,

	"Authorization":       regexp.MustCompile(`^[ -~]{1,1000}$`),
	"Cache-Control":       plainText,
	"Content-Disposition": plainText,
	"Content-Encoding":    plainText,
	"Content-Language":    plainText,
	"Content-Md5":         base64Text,
	"Content-Type":        plainText,
	"Expires":             plainText,
	"If-Match":            plainText,
	"If-Modified-Since":   plainText,
	"If-None-Match":       plainText,
	"If-Unmodified-Since": plainText,
	"Range":               regexp.MustCompile(`^bytes=[0-9]{0,18}-[0-9]{0,18}$`),
}

var (
	plainText  = regexp.MustCompile(`^[ -~]{0,256}$`)
	base64Text = regexp.MustCompile(`^[0-9a-zA-Z+/]{1,88}={0,2}$`)
)

// refusal is an error as S3 answers it.
type refusal struct {
	status        int
	code, message string
}

func invalid(what, value string) *refusal {
	return &refusal{http.StatusBadRequest, "InvalidArgument", fmt.Sprintf("%s cannot be %.100q here.", what, value)}
}

func denied(prefix string) *refusal {
	return &refusal{http.StatusForbidden, "AccessDenied", "These credentials are for objects below " + prefix + " only."}
}

// request is one that the grammar allows.
type request struct {
	operation
	key   string     // "" is the bucket
	query url.Values // each parameter once
}

// parse reads a request of an organization's.
func parse(r *http.Request, organizationID string) (request, *refusal) {
	query, no := parseQuery(r.URL.RawQuery)
	if no != nil {
		return request{}, no
	}
	q := request{query: query}
	if q.key, no = parseKey(r.URL.EscapedPath(), organizationID); no != nil {
		return request{}, no
	}
	if q.operation, no = choose(r.Method, q.key, query); no != nil {
		return request{}, no
	}
	if q.keys != nil && !q.keys.MatchString(strings.TrimPrefix(q.key, organizationID+"/")) {
		return request{}, &refusal{http.StatusBadRequest, "InvalidArgument", "Objects are called " + organizationID + "/HASH/" + archiveName + ", where HASH is of letters, digits, '-', '_' and '.'."}
	}
	if no := q.checkQuery(organizationID); no != nil {
		return request{}, no
	}
	return q, checkHeaders(r.Header)
}

// parseQuery takes a query apart where there is one way to do so.
func parseQuery(raw string) (url.Values, *refusal) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "InvalidURI", "The query cannot be read."}
	}
	for name, all := range query {
		if len(all) != 1 {
			return nil, &refusal{http.StatusBadRequest, "InvalidArgument", fmt.Sprintf("The parameter %.40q is there more than once.", name)}
		}
	}
	return query, nil
}

// parseKey takes the key out of a path as it was sent: nothing that keys
// consist of needs to be escaped.
func parseKey(path, organizationID string) (string, *refusal) {
	key, inside := strings.CutPrefix(path, "/"+Bucket+"/")
	if path == "/"+Bucket || inside && key == "" {
		return "", nil
	}
	if !inside || !strings.HasPrefix(key, organizationID+"/") {
		return "", denied(organizationID + "/")
	}
	return key, nil
}

// choose finds the operation that a request is.
func choose(method, key string, query url.Values) (operation, *refusal) {
	for _, o := range operations {
		if o.method != method || (o.keys == nil) != (key == "") {
			continue
		}
		chosen := true
		for _, name := range subresources {
			chosen = chosen && query.Has(name) == slices.Contains(o.sub, name)
		}
		if chosen {
			return o, nil
		}
	}
	return operation{}, &refusal{http.StatusNotImplemented, "NotImplemented", "This endpoint takes uploads of build contexts only."}
}

func (q request) checkQuery(organizationID string) *refusal {
	for name, all := range q.query {
		value := all[0]
		if name != "x-id" && !slices.Contains(q.sub, name) && !slices.Contains(q.optional, name) {
			return &refusal{http.StatusNotImplemented, "NotImplemented", fmt.Sprintf("This endpoint's %s has no parameter %.40q.", q.name, name)}
		}
		allowed := values[name] != nil && values[name].MatchString(value)
		if slices.Contains(ownKeys, name) {
			rest, inside := strings.CutPrefix(value, organizationID)
			if !inside || rest == "" && !isUUID(organizationID) {
				return denied(organizationID + "/")
			}
			allowed = rest == "" || rest[0] == '/' && keyPrefix.MatchString(rest[1:])
		}
		if !allowed || name == "x-id" && value != q.name {
			return invalid("The parameter "+name, value)
		}
	}
	// A list without a prefix is one of everybody's objects.
	if q.name == "ListObjectsV2" && !q.query.Has("prefix") {
		return denied(organizationID + "/")
	}
	return nil
}

// isUUID tells whether an id is as long as all others, so that it is not the
// beginning of one of them.
func isUUID(id string) bool { return len(id) == 36 && uuid.Validate(id) == nil }

func checkHeaders(h http.Header) *refusal {
	for name, all := range h {
		pattern, known := headers[http.CanonicalHeaderKey(name)]
		if !known && strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			return &refusal{http.StatusNotImplemented, "NotImplemented", fmt.Sprintf("This endpoint knows no header %.60q.", name)}
		}
		if !known {
			continue
		}
		if len(all) != 1 || !pattern.MatchString(all[0]) {
			return invalid("The header "+name, strings.Join(all, ", "))
		}
	}
	return nil
}
