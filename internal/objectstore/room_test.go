package objectstore

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/minio/minio-go/v7"
)

func TestAnOrganizationsUploadsAreBounded(t *testing.T) {
	s, _ := open(t)
	b := &Bounded{Store: s, Quota: 20 << 20}
	server := httptest.NewServer(b)
	defer server.Close()
	put := func(organization, name string, size int, parts bool) error {
		t.Helper()
		length, options := int64(size), minio.PutObjectOptions{DisableMultipart: true}
		if parts {
			length, options = -1, minio.PutObjectOptions{PartSize: 5 << 20}
		}
		_, err := client(t, server.URL, s.credentials(organization, "key")).PutObject(t.Context(), Bucket, organization+"/"+name+"/context.tar", bytes.NewReader(make([]byte, size)), length, options)
		return err
	}
	refused := func(err error) {
		t.Helper()
		if e := minio.ToErrorResponse(err); e.StatusCode != http.StatusForbidden || e.Code != "QuotaExceeded" {
			t.Errorf("beyond the quota: %v", err)
		}
	}
	if err := put("org", "one", 12<<20, false); err != nil {
		t.Fatal(err)
	}
	refused(put("org", "two", 9<<20, false))
	refused(put("org", "parts", 16<<20, true))
	if err := put("other", "one", 12<<20, true); err != nil {
		t.Errorf("another organization: %v", err)
	}
	// What is there is what counts, not what was sent: the same again fits.
	if err := put("org", "three", 7<<20, false); err != nil {
		t.Errorf("within the quota: %v", err)
	}
	// So does all that an unfinished upload has left.
	core := minio.Core{Client: client(t, server.URL, s.credentials("more", "key"))}
	id, err := core.NewMultipartUpload(t.Context(), Bucket, "more/x/context.tar", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 15<<20)
	if _, err := core.PutObjectPart(t.Context(), Bucket, "more/x/context.tar", id, 1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	b.used = nil // as after a restart
	refused(put("more", "y", 6<<20, false))
}
