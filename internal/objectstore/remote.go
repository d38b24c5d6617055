package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// RemoteOptions say where the operator's own S3 is.
type RemoteOptions struct {
	Endpoint    string // "https://s3.example.com", which clients must reach too
	STSEndpoint string // of AWS's Security Token Service or a store that has its AssumeRole, as MinIO; "" is Endpoint
	Bucket      string // which is there
	Region      string
	AccessKey   string // may read the bucket and assume Role
	SecretKey   string
	Role        string // ARN of a role that may write to the bucket; stores other than AWS need none
	Transport   http.RoundTripper
}

// Remote keeps the archives in an S3 of the operator's. Who may upload where is
// in temporary credentials that the store makes, with a policy for the
// organization's prefix. Its lifecycle rules remove what is old.
type Remote struct {
	RemoteOptions
	client *minio.Client
}

// OpenRemote makes the client of the store. It does not speak to it: whether the
// store answers and has the bucket is for Check to tell.
func OpenRemote(o RemoteOptions) (*Remote, error) {
	if o.STSEndpoint == "" {
		o.STSEndpoint = o.Endpoint
	}
	r := &Remote{RemoteOptions: o}
	u, err := url.Parse(r.Endpoint)
	if err == nil {
		r.client, err = minio.New(u.Host, &minio.Options{
			Creds: credentials.NewStaticV4(r.AccessKey, r.SecretKey, ""), Secure: u.Scheme == "https", Region: r.Region, Transport: r.Transport,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s at %s: %w", o.Bucket, o.Endpoint, err)
	}
	return r, nil
}

// Check tells whether the bucket can be used.
func (r *Remote) Check(ctx context.Context) error {
	there, err := r.client.BucketExists(ctx, r.Bucket)
	if err == nil && !there {
		err = errors.New("there is no such bucket")
	}
	if err != nil {
		return fmt.Errorf("bucket %s at %s: %w", r.Bucket, r.Endpoint, err)
	}
	return nil
}

// Place is where clients upload.
func (r *Remote) Place() Place { return Place{URL: r.Endpoint, Bucket: r.Bucket, Region: r.Region} }

// Access makes credentials for the organization's prefix. They outlive the API key:
// the storage knows nothing of it.
func (r *Remote) Access(ctx context.Context, organizationID, _ string) (Credentials, error) {
	policy, err := json.Marshal(uploadPolicy(r.Bucket, organizationID))
	if err != nil {
		return Credentials{}, err
	}
	expires := time.Now().Add(credentialsLife)
	sts, err := credentials.NewSTSAssumeRole(r.STSEndpoint, credentials.STSAssumeRoleOptions{
		AccessKey: r.AccessKey, SecretKey: r.SecretKey, Policy: string(policy), Location: r.Region,
		DurationSeconds: int(credentialsLife / time.Second), RoleARN: r.Role, RoleSessionName: "daytona-upload",
	})
	if err != nil {
		return Credentials{}, err
	}
	value, err := sts.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: r.Transport, Timeout: stsPatience}})
	if err != nil {
		return Credentials{}, fmt.Errorf("assume role for uploads at %s: %w", r.STSEndpoint, err)
	}
	return Credentials{AccessKey: value.AccessKeyID, Secret: value.SecretAccessKey, SessionToken: value.SessionToken, Expires: expires}, ctx.Err()
}

const stsPatience = 15 * time.Second

// statement is one of an IAM policy.
type statement struct {
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// uploadPolicy allows what uploads need below the organization's prefix, as the
// embedded endpoint does.
func uploadPolicy(bucket, organizationID string) any {
	arn := "arn:aws:s3:::" + bucket
	return struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{Effect: "Allow", Action: []string{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}, Resource: []string{arn + "/" + organizationID + "/*"}},
		{Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{arn}, Condition: map[string]map[string][]string{"StringLike": {"s3:prefix": {organizationID, organizationID + "/*"}}}},
		// The official command asks where the bucket is, first of all.
		{Effect: "Allow", Action: []string{"s3:GetBucketLocation"}, Resource: []string{arn}},
	}}
}

// Context opens an uploaded archive. Errors: ErrNotFound.
func (r *Remote) Context(ctx context.Context, organizationID, hash string) (*Archive, error) {
	key, err := remoteKey(organizationID, hash)
	if err != nil {
		return nil, err
	}
	o, err := r.client.GetObject(ctx, r.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, remoteError(hash, err)
	}
	info, err := o.Stat() // which sends the request
	if err != nil {
		return nil, remoteError(hash, errors.Join(err, o.Close()))
	}
	return &Archive{o, info.ETag}, nil
}

// Version implements Contexts.
func (r *Remote) Version(ctx context.Context, organizationID, hash string) (string, error) {
	key, err := remoteKey(organizationID, hash)
	if err != nil {
		return "", err
	}
	info, err := r.client.StatObject(ctx, r.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return "", remoteError(hash, err)
	}
	return info.ETag, nil
}

func remoteKey(organizationID, hash string) (string, error) {
	if strings.ContainsAny(organizationID+hash, "/\x00") {
		return "", fmt.Errorf("context %s: %w", hash, ErrNotFound)
	}
	return organizationID + "/" + hash + "/" + archiveName, nil
}

func remoteError(hash string, err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		err = ErrNotFound
	}
	return fmt.Errorf("context %s: %w", hash, err)
}

// Run waits for the end of ctx: the bucket's lifecycle rules remove what is old.
func (r *Remote) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
