package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is more than registries must take (4 MiB).
const maxManifest = 8 << 20

// selfContained hands out manifests whose blobs are all in the registry. One can
// also say of a blob at which URLs it is, and containerd's fetcher, which is
// BuildKit's too, would fetch it from there on a way of its own.
type selfContained struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s selfContained) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || !strings.Contains(origin(r).URL.Path, "/manifests/") {
		return s.next.RoundTrip(r)
	}
	// It can be judged only whole and as it is.
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	r.Header.Del("Accept-Encoding")
	res, err := s.next.RoundTrip(r)
	if err != nil || res.StatusCode < 200 || res.StatusCode > 299 {
		return res, err
	}
	defer res.Body.Close()
	if encoding := res.Header.Get("Content-Encoding"); res.StatusCode != http.StatusOK || encoding != "" {
		return nil, fmt.Errorf("%w: its registry answers a request for the whole manifest with %s, encoding %q", errInvalid, res.Status, encoding)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if len(body) > maxManifest {
		return nil, fmt.Errorf("%w: its manifest is larger than %d bytes", errInvalid, maxManifest)
	}
	if err := checkSelfContained(body); err != nil {
		return nil, err
	}
	res.Body, res.ContentLength, res.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return res, nil
}

func checkSelfContained(body []byte) error {
	var manifest struct {
		Config    ocispec.Descriptor
		Subject   ocispec.Descriptor
		Layers    []ocispec.Descriptor
		Manifests []ocispec.Descriptor
		Blobs     []ocispec.Descriptor
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		return fmt.Errorf("%w: its manifest: %w", errInvalid, err)
	}
	all := []ocispec.Descriptor{manifest.Config, manifest.Subject}
	for _, more := range [][]ocispec.Descriptor{manifest.Layers, manifest.Manifests, manifest.Blobs} {
		all = append(all, more...)
	}
	for _, d := range all {
		if len(d.URLs) > 0 {
			return fmt.Errorf("%w: its manifest says that blob %s is outside of its registry, at a URL; push the image with all its layers", errInvalid, d.Digest)
		}
	}
	return nil
}
