package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Kind says why a pull failed.
type Kind string

// The kinds of failure.
const (
	KindNotFound     Kind = "not_found"
	KindUnauthorized Kind = "unauthorized"
	KindNoSuchHost   Kind = "no_such_host"
	KindUnreachable  Kind = "unreachable"
	KindPlatform     Kind = "wrong_architecture"
	KindCorrupt      Kind = "corrupt"
	KindInvalid      Kind = "invalid_image"
	KindNoSpace      Kind = "no_space"
	KindCanceled     Kind = "canceled"
	KindOther        Kind = "other"
)

// PullError is the failure of a pull.
type PullError struct {
	Kind      Kind
	Reference string
	Err       error
}

func (e *PullError) Error() string { return fmt.Sprintf("pull image %q: %v", e.Reference, e.Err) }

func (e *PullError) Unwrap() error { return e.Err }

// Message is one sentence that a user can act on.
func (e *PullError) Message() string {
	switch e.Kind {
	case KindNotFound:
		return fmt.Sprintf("Image %s was not found: check its name and tag, and that the registry lets you see it.", e.Reference)
	case KindUnauthorized:
		return fmt.Sprintf("The registry refused access to image %s: check its name, and add credentials for the registry if it is private.", e.Reference)
	case KindNoSuchHost:
		return fmt.Sprintf("The registry of image %s does not exist: check the host name in the reference.", e.Reference)
	case KindUnreachable:
		return fmt.Sprintf("The registry of image %s cannot be reached: check the server's network, proxy and trusted certificates (%v).", e.Reference, root(e.Err))
	case KindPlatform:
		return fmt.Sprintf("Image %s does not exist for this machine: %v.", e.Reference, root(e.Err))
	case KindCorrupt:
		return fmt.Sprintf("Image %s does not match its digest: the registry serves other bytes than it promises.", e.Reference)
	case KindInvalid:
		return fmt.Sprintf("Image %s cannot be unpacked: %v.", e.Reference, root(e.Err))
	case KindNoSpace:
		return fmt.Sprintf("The server has no disk space left for image %s: deactivate or delete snapshots.", e.Reference)
	case KindCanceled:
		return fmt.Sprintf("The pull of image %s was cancelled.", e.Reference)
	}
	return fmt.Sprintf("Image %s could not be pulled: %v.", e.Reference, root(e.Err))
}

// root is the innermost error, which names the cause without the path to it.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Failures that only we can tell.
var (
	errPlatform = errors.New("it has no variant for this platform")
	errInvalid  = errors.New("it is not a valid image")
	errStalled  = errors.New("the registry stopped sending")
)

func classify(err error) Kind {
	var dns *net.DNSError
	var netErr net.Error
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.Is(err, errStalled):
		return KindUnreachable
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.Is(err, errPlatform):
		return KindPlatform
	case errors.Is(err, errInvalid):
		return KindInvalid
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return KindNoSpace
	case errors.As(err, &dns) && dns.IsNotFound:
		return KindNoSuchHost
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return KindUnauthorized
	case errors.As(err, &status):
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return KindUnauthorized
		case http.StatusNotFound:
			return KindNotFound
		}
		return KindUnreachable
	case errdefs.IsNotFound(err):
		return KindNotFound
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return KindUnauthorized
	case errdefs.IsFailedPrecondition(err):
		return KindCorrupt
	case errors.As(err, &netErr), errors.Is(err, context.DeadlineExceeded), errdefs.IsUnavailable(err):
		return KindUnreachable
	}
	return KindOther
}

// transient reports whether the same pull may work a moment later.
func (k Kind) transient() bool { return k == KindUnreachable || k == KindOther }
