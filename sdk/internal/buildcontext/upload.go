package buildcontext

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"

	"github.com/opendaytona/daytona/api"
)

const (
	uploadsAtOnce = 4
	partSize      = 8 << 20 // what is smaller goes in one request
	maxRetries    = 5
)

// Upload sends the archives that the server does not have yet and returns how
// many bytes of files those had. Told gets lines for people, from one goroutine
// at a time; it may be nil.
func Upload(ctx context.Context, access api.StorageAccess, transport http.RoundTripper, archives []Archive, told func(line string)) (sent int64, err error) {
	at, err := url.Parse(access.StorageURL)
	if err != nil {
		return 0, fmt.Errorf("address of uploads: %w", err)
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(access.AccessKey, access.Secret, access.SessionToken),
		Secure: at.Scheme == "https", Region: access.Region, BucketLookup: minio.BucketLookupPath, Transport: transport, MaxRetries: maxRetries,
	})
	if err != nil {
		return 0, err
	}
	u := &uploader{Client: client, bucket: access.Bucket, prefix: access.OrganizationID + "/"}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploadsAtOnce)
	for _, a := range archives {
		group.Go(func() error { return u.upload(ctx, a) })
	}
	if err := group.Wait(); err != nil {
		return u.sent.Load(), fmt.Errorf("upload the build context: %w", err)
	}
	if told != nil && len(archives) > 0 {
		told(fmt.Sprintf("Uploaded %d of %d parts of the build context (%s); the server has the others", u.count.Load(), len(archives), size(u.sent.Load())))
	}
	return u.sent.Load(), nil
}

type uploader struct {
	*minio.Client
	bucket, prefix string
	sent, count    atomic.Int64
}

func (u *uploader) upload(ctx context.Context, a Archive) error {
	key := u.prefix + a.Hash + "/context.tar"
	_, err := u.StatObject(ctx, u.bucket, key, minio.StatObjectOptions{})
	if err == nil {
		return nil
	}
	if code := minio.ToErrorResponse(err).Code; code != "NoSuchKey" && code != "NotFound" {
		return err
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := a.write(ctx, w)
		w.CloseWithError(err)
		packed <- err
	}()
	err = u.put(ctx, key, r)
	r.CloseWithError(errAbandoned)
	if reason := <-packed; reason != nil && !errors.Is(reason, errAbandoned) {
		return reason
	}
	if err != nil {
		return err
	}
	u.count.Add(1)
	u.sent.Add(a.Size)
	return nil
}

// errAbandoned ends the packing of what nobody reads any more.
var errAbandoned = errors.New("the upload has failed")

// put sends what r has: at once where that is little, else in parts.
func (u *uploader) put(ctx context.Context, key string, r io.Reader) error {
	first := make([]byte, partSize)
	n, err := io.ReadFull(r, first)
	options := minio.PutObjectOptions{PartSize: partSize, ContentType: "application/x-tar"}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		_, err = u.PutObject(ctx, u.bucket, key, bytes.NewReader(first[:n]), int64(n), options)
		return err
	}
	if err != nil {
		return err
	}
	_, err = u.PutObject(ctx, u.bucket, key, io.MultiReader(bytes.NewReader(first), r), -1, options)
	return err
}

func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
