package objectstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// The peer is an S3 that is ours too, behind a token service that gives what the
// embedded endpoint would, and a bucket of another name. What it is asked for is
// what AWS and MinIO are asked for.
func TestAnotherS3GivesCredentialsForThePrefixAndTheArchives(t *testing.T) {
	s, _ := open(t)
	reader := s.credentials("org", "key")
	asked := make(chan string, 4)
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || q.URL.Path != "/" {
			if q.Method == http.MethodHead && strings.Trim(q.URL.Path, "/") == Bucket {
				return // it is there
			}
			s.ServeHTTP(w, q)
			return
		}
		_ = q.ParseForm()
		asked <- q.PostForm.Get("Policy")
		if !strings.Contains(q.Header.Get("Authorization"), "operator/") || q.PostForm.Get("Action") != "AssumeRole" || q.PostForm.Get("RoleArn") != "arn:role" {
			http.Error(w, "denied", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			reader.AccessKey, reader.Secret, reader.SessionToken)
	}))
	t.Cleanup(peer.Close)
	r, err := OpenRemote(RemoteOptions{Endpoint: peer.URL, Bucket: Bucket, Region: Region, AccessKey: "operator", SecretKey: "secret", Role: "arn:role"})
	if err != nil {
		t.Fatal(err)
	}
	access, err := r.Access(t.Context(), "org", "key")
	if err != nil || !reflect.DeepEqual([]string{access.AccessKey, access.Secret, access.SessionToken}, []string{reader.AccessKey, reader.Secret, reader.SessionToken}) {
		t.Fatalf("%+v, %v", access, err)
	}
	var policy struct{ Statement []statement }
	if err := json.Unmarshal([]byte(<-asked), &policy); err != nil {
		t.Fatal(err)
	}
	for _, st := range policy.Statement {
		for _, resource := range st.Resource {
			objects := resource == "arn:aws:s3:::"+Bucket+"/org/*"
			listing := resource == "arn:aws:s3:::"+Bucket && reflect.DeepEqual(st.Condition["StringLike"]["s3:prefix"], []string{"org", "org/*"})
			location := resource == "arn:aws:s3:::"+Bucket && reflect.DeepEqual(st.Action, []string{"s3:GetBucketLocation"})
			if st.Effect != "Allow" || !objects && !listing && !location {
				t.Errorf("more than the prefix: %+v", st)
			}
		}
		for _, action := range st.Action {
			if strings.Contains(action, "*") || strings.Contains(action, "Delete") {
				t.Errorf("more than uploads need: %s", action)
			}
		}
	}
	if place := r.Place(); place.URL != peer.URL || place.Bucket != Bucket {
		t.Errorf("%+v", place)
	}

	// What was uploaded with them is read by the server, here with the same.
	r.AccessKey, r.SecretKey = access.AccessKey, access.Secret
	r.client = client(t, peer.URL, access)
	if _, err := r.client.PutObject(t.Context(), Bucket, "org/hash/"+archiveName, strings.NewReader("archive"), 7, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	archive, err := r.Context(t.Context(), "org", "hash")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(archive)
	if err = errors.Join(err, archive.Close()); err != nil || string(text) != "archive" {
		t.Errorf("%q, %v", text, err)
	}
	for _, hash := range []string{"none", "../org/hash"} {
		if _, err := r.Context(t.Context(), "org", hash); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", hash, err)
		}
	}

	// A server that may not assume the role says so.
	refused := *r
	refused.AccessKey, refused.SecretKey = "other", "secret"
	if _, err := refused.Access(t.Context(), "org", "key"); err == nil || !strings.Contains(err.Error(), "assume role for uploads") {
		t.Error(err)
	}
	<-asked
}
