package objectstore

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The official command asks where the bucket is, lists what is there by the
// organization's id, and makes a directory before it uploads into it.
func TestTheOfficialCommandUploads(t *testing.T) {
	s, at := open(t)
	c := s.credentials(organization, "key")
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	m, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(c.AccessKey, c.Secret, c.SessionToken)})
	if err != nil {
		t.Fatal(err)
	}
	listed := func(prefix string) (names []string) {
		t.Helper()
		for o := range m.ListObjects(t.Context(), Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			names = append(names, o.Key)
		}
		return names
	}
	if names := listed(organization); len(names) != 0 {
		t.Errorf("an empty store has %q", names)
	}
	// What others have is not in it, however their ids begin.
	upload(t, client(t, at, s.credentials(neighbour, "key")), neighbour+"/h/"+archiveName)
	if there, err := m.BucketExists(t.Context(), Bucket); err != nil || !there {
		t.Fatalf("the bucket is there: %t, %v", there, err)
	}
	const dir = organization + "/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if _, err := m.PutObject(t.Context(), Bucket, dir+"/", bytes.NewReader(nil), 0, minio.PutObjectOptions{ContentType: "application/directory"}); err != nil {
		t.Fatal(err)
	}
	archive := []byte("an archive")
	if _, err := m.PutObject(t.Context(), Bucket, dir+"/"+archiveName, bytes.NewReader(archive), int64(len(archive)), minio.PutObjectOptions{ContentType: "application/octet-stream"}); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		organization: {organization + "/"}, organization + "/": {dir + "/"}, dir: {dir + "/"}, dir + "/": {dir + "/", dir + "/" + archiveName},
	} {
		if names := listed(prefix); !slices.Equal(names, want) {
			t.Errorf("below %s are %q, want %q", prefix, names, want)
		}
	}
	r, err := s.Context(t.Context(), organization, strings.TrimPrefix(dir, organization+"/"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, archive) {
		t.Errorf("%q, %v", b, err)
	}
	// A directory is nothing else than empty.
	if _, err := m.PutObject(t.Context(), Bucket, dir+"/", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err == nil {
		t.Error("a directory with content is taken")
	}
}

// The archive of the official command lacks its end, and the padding of its last
// file: it is read before it is complete.
func TestTheOfficialCommandsArchiveIsRead(t *testing.T) {
	s, at := open(t)
	m := client(t, at, s.credentials(organization, "key"))
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range []tar.Header{{Name: ".", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "app", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "app/main.py", Typeflag: tar.TypeReg, Mode: 0o644, Size: 5}} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if archive.Len()%512 == 0 {
		t.Fatal("the archive is complete")
	}
	if _, err := m.PutObject(t.Context(), Bucket, organization+"/h/"+archiveName, &archive, int64(archive.Len()), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Context(t.Context(), organization, "h")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dir := t.TempDir()
	if err := Extract(t.Context(), r, dir, Limits{Bytes: 1 << 20, Entries: 10}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "app", "main.py")); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
}

// The SDK for Java uses Amazon's without checksums of its own.
func TestAmazonsClientUploadsWithoutChecksums(t *testing.T) {
	s, at := open(t)
	c := s.credentials(organization, "key")
	m := s3.New(s3.Options{
		Region: Region, BaseEndpoint: &at, UsePathStyle: true, Credentials: awscredentials.NewStaticCredentialsProvider(c.AccessKey, c.Secret, c.SessionToken),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
	key := aws.String(organization + "/0cc175b9c0f1b6a831c399e269772661/" + archiveName)
	_, err := m.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(Bucket), Key: key})
	if answer := smithy.APIError(nil); !errors.As(err, &answer) || answer.ErrorCode() != "NotFound" {
		t.Errorf("before the upload: %v", err)
	}
	if _, err := m.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(Bucket), Key: key, Body: strings.NewReader("archive"), ContentType: aws.String("application/x-tar")}); err != nil {
		t.Fatal(err)
	}
	if there, err := m.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(Bucket), Key: key}); err != nil || *there.ContentLength != 7 {
		t.Errorf("after it: %v", err)
	}
}

// The SDKs for Go, TypeScript and Ruby use Amazon's.
func TestAmazonsClientUploads(t *testing.T) {
	s, at := open(t)
	c := s.credentials(organization, "key")
	m := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &at, UsePathStyle: true,
		Credentials: awscredentials.NewStaticCredentialsProvider(c.AccessKey, c.Secret, c.SessionToken),
	})
	const prefix = organization + "/0cc175b9c0f1b6a831c399e269772661/"
	there := func() bool {
		t.Helper()
		list, err := m.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(Bucket), Prefix: aws.String(prefix), MaxKeys: aws.Int32(1)})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Contents) > 0
	}
	if there() {
		t.Error("it is there before it was uploaded")
	}
	key := aws.String(prefix + archiveName)
	_, err := m.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(Bucket), Key: key})
	if answer := smithy.APIError(nil); !errors.As(err, &answer) || answer.ErrorCode() != "NotFound" {
		t.Errorf("before the upload: %v", err)
	}
	for name, put := range map[string]func(content []byte) error{
		"at once": func(content []byte) error {
			_, err := m.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(Bucket), Key: key, Body: bytes.NewReader(content), ContentType: aws.String("application/x-tar")})
			return err
		},
		"in parts": func(content []byte) error {
			up := transfermanager.New(m, func(o *transfermanager.Options) {
				o.PartSizeBytes, o.MultipartUploadThreshold = 5<<20, 5<<20
			})
			_, err := up.UploadObject(t.Context(), &transfermanager.UploadObjectInput{Bucket: aws.String(Bucket), Key: key, Body: io.MultiReader(bytes.NewReader(content))}) // of unknown length
			return err
		},
	} {
		content := bytes.Repeat([]byte(name+" "), 2<<20)
		if err := put(content); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !there() {
			t.Errorf("%s: it is not listed", name)
		}
		got, err := m.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(Bucket), Key: key})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(b, content) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		got.Body.Close()
	}
	// What is abandoned leaves nothing.
	begun, err := m.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(Bucket), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String(Bucket), Key: key, UploadId: begun.UploadId}); err != nil {
		t.Error(err)
	}
	_, err = m.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(Bucket), Key: key})
	if answer := smithy.APIError(nil); !errors.As(err, &answer) || answer.ErrorCode() != "NotImplemented" {
		t.Errorf("a deletion: %v", err)
	}
}
