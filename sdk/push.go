package daytona

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/sdk/internal/localimage"
)

// Where a local image may be.
const (
	FromDocker  = localimage.Docker  // the store of the docker daemon
	FromPodman  = localimage.Podman  // podman's store
	FromOCI     = localimage.OCI     // a directory in the OCI image layout
	FromArchive = localimage.Archive // a tar file of docker save, podman save or skopeo
)

// PushSnapshotParams say what snapshot to make of a local image.
type PushSnapshotParams struct {
	Name string
	// Image is a reference, a directory or a file. One of several images in a
	// directory or file is named behind a colon: app.tar:team/app:1.
	Image      string
	From       string   // one of the From constants; "" tells by the form of Image
	Entrypoint []string // nil is the image's
	Resources  *Resources
	RegionID   string // "" is the organization's default
}

// PushOptions are told how a push goes; nil ones are not.
type PushOptions struct {
	// OnLayer is told of each layer, at first and whenever some of it was sent.
	// It may be called at once for different layers.
	OnLayer func(LayerProgress)
	// OnLogs gets what happens then, a line at a time.
	OnLogs func(line string)
}

// LayerProgress is how far one layer is.
type LayerProgress struct {
	Digest string // sha256:…
	Size   int64  // bytes
	Sent   int64  // bytes
	State  LayerState
}

// LayerState is what happens to a layer.
type LayerState string

// The states of a layer.
const (
	LayerWaiting LayerState = "waiting"
	LayerSending LayerState = "sending"
	LayerSent    LayerState = "sent"
	LayerThere   LayerState = "there" // the server had it already
)

// Push sends a local image to the server's own registry, as far as the server
// lacks it, and makes a snapshot of it as Create does. Nothing is sent when the
// image is for another platform. Errors: Create's; ErrInvalid for an image that
// cannot be used, ErrForbidden over the registry's quota.
func (s *SnapshotService) Push(ctx context.Context, p PushSnapshotParams, o PushOptions) (*api.Snapshot, error) {
	access := &pushAccess{service: s, regionID: p.RegionID}
	a, err := access.get(ctx)
	if err != nil {
		return nil, err
	}
	platform, err := v1.ParsePlatform(a.Platform)
	if err != nil {
		return nil, fmt.Errorf("push image %s: the server's platform: %w", p.Image, err)
	}
	img, err := localimage.Open(ctx, p.Image, p.From, *platform)
	if err != nil {
		return nil, pushError(ctx, p.Image, err)
	}
	defer img.Close() // what is left is in the directory for temporary files
	reference, err := s.send(ctx, img, access, o.OnLayer)
	if err != nil {
		return nil, pushError(ctx, p.Image, err)
	}
	return s.Create(ctx, CreateSnapshotParams{Name: p.Name, Image: reference, Entrypoint: p.Entrypoint, Resources: p.Resources, RegionID: p.RegionID}, o.OnLogs)
}

// parallelLayers are sent at once.
const parallelLayers = 4

// tries of a request outlast a restart of the server.
var tries = remote.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 5}

// send sends the image and returns the reference by which the server knows it.
func (s *SnapshotService) send(ctx context.Context, img *localimage.Image, access *pushAccess, onLayer func(LayerProgress)) (string, error) {
	a, err := access.get(ctx)
	if err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	// The digest in the tag makes it the name of this content only, whatever
	// others push by the same name meanwhile.
	tag := digest.Hex[:12]
	if img.Tag != "" {
		tag = img.Tag + "-" + tag
	}
	var options []name.Option
	if strings.HasPrefix(s.client.config.APIURL, "http://") {
		options = append(options, name.Insecure)
	}
	ref, err := name.NewTag(a.RegistryURL+"/"+a.Project+"/"+img.Name+":"+tag, options...)
	if err != nil {
		return "", err
	}
	watched, err := watch(img, onLayer)
	if err != nil {
		return "", err
	}
	to := []remote.Option{
		remote.WithContext(ctx), remote.WithAuth(access), remote.WithJobs(parallelLayers), remote.WithUserAgent(s.client.config.UserAgent),
		remote.WithRetryBackoff(tries), remote.WithRetryPredicate(mayPass),
	}
	if t := s.client.config.HTTPClient.Transport; t != nil {
		to = append(to, remote.WithTransport(t))
	}
	if err := remote.Write(ref, watched, to...); err != nil {
		return "", err
	}
	watched.finish()
	return ref.String(), nil
}

// mayPass reports whether a failure may be another one's a moment later.
func mayPass(err error) bool {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.Temporary()
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// pushError makes the error of a push one of ours.
func pushError(ctx context.Context, image string, err error) error {
	var local localimage.Error
	var answer *transport.Error
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("push image %s: %w", image, ctx.Err())
	case errors.As(err, &local):
		return &Error{StatusCode: http.StatusBadRequest, Code: "IMAGE_UNUSABLE", Message: string(local)}
	case errors.As(err, &answer):
		e := &Error{StatusCode: answer.StatusCode, Code: "PUSH_FAILED", Message: fmt.Sprintf("The server's registry refuses image %s: %v.", image, answer), cause: err}
		if len(answer.Errors) > 0 {
			e.Code = string(answer.Errors[0].Code)
			e.Message = fmt.Sprintf("The server's registry refuses image %s: %s.", image, answer.Errors[0].Message)
		}
		return e
	}
	return fmt.Errorf("push image %s: %w", image, err)
}

// pushAccess are credentials for the push, renewed before they expire: the
// layers may take longer. It implements authn.Authenticator and
// authn.ContextAuthenticator.
type pushAccess struct {
	service  *SnapshotService
	regionID string

	mu      sync.Mutex
	now     api.RegistryPushAccess
	expires time.Time
}

// renewBefore is how long credentials must still be good.
const renewBefore = 5 * time.Minute

func (a *pushAccess) get(ctx context.Context) (api.RegistryPushAccess, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Until(a.expires) > renewBefore {
		return a.now, nil
	}
	q := url.Values{}
	if a.regionID != "" {
		q.Set("regionId", a.regionID)
	}
	if err := a.service.client.do(ctx, request{method: http.MethodGet, url: "/docker-registry/registry-push-access", query: q}, &a.now); err != nil {
		return a.now, err
	}
	var err error
	if a.expires, err = time.Parse(time.RFC3339Nano, a.now.ExpiresAt); err != nil {
		return a.now, fmt.Errorf("read the credentials for a push: %w", err)
	}
	return a.now, nil
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (a *pushAccess) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	now, err := a.get(ctx)
	return &authn.AuthConfig{Username: now.Username, Password: now.Secret}, err
}

// Authorization implements authn.Authenticator.
func (a *pushAccess) Authorization() (*authn.AuthConfig, error) {
	return a.AuthorizationContext(context.Background())
}

// watchedImage is an image whose layers tell how much of them was read.
type watchedImage struct {
	v1.Image
	layers []v1.Layer
}

func watch(img v1.Image, onLayer func(LayerProgress)) (*watchedImage, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	w := &watchedImage{Image: img}
	seen := make(map[v1.Hash]bool)
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return nil, err
		}
		size, err := l.Size()
		if err != nil {
			return nil, err
		}
		if seen[digest] {
			continue // it is sent once
		}
		seen[digest] = true
		layer := &watchedLayer{Layer: l, tell: onLayer, progress: LayerProgress{Digest: digest.String(), Size: size, State: LayerWaiting}}
		if onLayer == nil {
			layer.tell = func(LayerProgress) {}
		}
		layer.tell(layer.progress)
		w.layers = append(w.layers, layer)
	}
	return w, nil
}

// Layers implements v1.Image.
func (w *watchedImage) Layers() ([]v1.Layer, error) { return w.layers, nil }

// finish tells of the layers that nobody read.
func (w *watchedImage) finish() {
	for _, l := range w.layers {
		if l, ok := l.(*watchedLayer); ok {
			l.finish()
		}
	}
}

type watchedLayer struct {
	v1.Layer
	tell func(LayerProgress)

	mu       sync.Mutex
	progress LayerProgress
}

func (l *watchedLayer) move(state LayerState, sent int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.State, l.progress.Sent = state, sent
	l.tell(l.progress)
}

func (l *watchedLayer) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.progress.State == LayerWaiting {
		l.progress.State = LayerThere
	} else {
		l.progress.State, l.progress.Sent = LayerSent, l.progress.Size
	}
	l.tell(l.progress)
}

// Compressed implements v1.Layer. Each try begins anew.
func (l *watchedLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	l.move(LayerSending, 0)
	return &watchedReader{ReadCloser: rc, layer: l}, nil
}

type watchedReader struct {
	io.ReadCloser
	layer *watchedLayer
	sent  int64
}

// Read implements io.Reader.
func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.sent += int64(n)
	r.layer.move(LayerSending, r.sent)
	return n, err
}
