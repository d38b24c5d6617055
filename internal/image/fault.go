package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/space"
)

// Kind says why a pull failed.
type Kind string

// The kinds of failure.
const (
	KindNotFound     Kind = "not_found"
	KindUnauthorized Kind = "unauthorized"
	KindNoSuchHost   Kind = "no_such_host"
	KindUnreachable  Kind = "unreachable"
	KindUntrusted    Kind = "untrusted_host"
	KindPlatform     Kind = "wrong_architecture"
	KindCorrupt      Kind = "corrupt"
	KindInvalid      Kind = "invalid_image"
	KindTooLarge     Kind = "too_large"
	KindNoSpace      Kind = "no_space"
	KindCanceled     Kind = "canceled"
	KindCredentials  Kind = "credentials"
	KindAway         Kind = "forbidden_address"
	KindUser         Kind = "user"
	KindOther        Kind = "other"
)

// PullError is the failure of a pull.
type PullError struct {
	Kind       Kind
	Reference  string
	Repository string // where the image is; "" when that is not known
	Entry      string // whose credential was used; "" for none
	Err        error
}

// Explain is the failure of a request for an image's content.
func Explain(ctx context.Context, ref string, c Credentials, err error) *PullError {
	return newPullError(ctx, classify(err), ref, c, err)
}

// newPullError also tells whose credential was used.
func newPullError(ctx context.Context, kind Kind, ref string, c Credentials, err error) *PullError {
	e := &PullError{Kind: kind, Reference: ref, Err: err}
	at, nameErr := repositoryOf(ref)
	if nameErr != nil {
		return e
	}
	e.Repository = at.String()
	if used, findErr := c.find(ctx, at); findErr == nil && used != nil {
		e.Entry = used.Entry
	}
	return e
}

func (e *PullError) Error() string { return fmt.Sprintf("pull image %q: %v", e.Reference, e.Err) }

func (e *PullError) Unwrap() error { return e.Err }

// Message is one sentence that a user can act on.
func (e *PullError) Message() string {
	switch e.Kind {
	case KindNotFound:
		if e.Entry == "" {
			return fmt.Sprintf("Image %s was not found: check its name and tag; some registries say this of private images, for which credentials are added by daytona registry add.", e.Reference)
		}
		return fmt.Sprintf("Image %s was not found: check its name and tag, and that the user of registry %q may see it.", e.Reference, e.Entry)
	case KindUnauthorized:
		if e.Repository == "" { // no registry was asked
			return fmt.Sprintf("The registry refused access to image %s: %v.", e.Reference, root(e.Err))
		}
		if e.Entry == "" {
			return fmt.Sprintf("The registry refused access to image %s, and no credentials are known for %s: check the image's name, and if it is private add them by daytona registry add.", e.Reference, e.Repository)
		}
		return fmt.Sprintf("The registry refused access to image %s with the credentials of registry %q: check the image's name and what its user may see, or give a new password by daytona registry update.", e.Reference, e.Entry)
	case KindNoSuchHost, KindUnreachable, KindUntrusted:
		return fmt.Sprintf("Image %s was not pulled: %s.", e.Reference, unanswered(e.Err))
	case KindPlatform:
		return fmt.Sprintf("Image %s does not exist for this machine: %v.", e.Reference, root(e.Err))
	case KindCorrupt:
		return fmt.Sprintf("Image %s does not match its digest: the registry serves other bytes than it promises.", e.Reference)
	case KindInvalid:
		return fmt.Sprintf("Image %s cannot be unpacked: %v.", e.Reference, root(e.Err))
	case KindUser:
		return fmt.Sprintf("Image %s cannot be used: %v.", e.Reference, e.Err)
	case KindTooLarge:
		return fmt.Sprintf("Image %s was not unpacked: %v.", e.Reference, tooLarge(e.Err))
	case KindNoSpace:
		return fmt.Sprintf("The server has no disk space left for image %s: deactivate or delete snapshots.", e.Reference)
	case KindAway:
		return fmt.Sprintf("Image %s was not pulled: %v.", e.Reference, e.Cause())
	case KindCredentials:
		return fmt.Sprintf("Image %s was not pulled: %v", e.Reference, e.Cause())
	case KindCanceled:
		return fmt.Sprintf("The pull of image %s was cancelled.", e.Reference)
	}
	return fmt.Sprintf("Image %s could not be pulled: %v.", e.Reference, root(e.Err))
}

// Cause is the innermost error, which says what went wrong but not where.
func (e *PullError) Cause() error { return root(e.Err) }

// Unanswered says which host did not answer, why, and what to do.
func (e *PullError) Unanswered() string { return unanswered(e.Err) }

func unanswered(err error) string {
	var host *hostError
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.As(err, &host):
		return host.Error()
	case errors.As(err, &status):
		at := "the registry"
		if u, parseErr := url.Parse(status.RequestURL); parseErr == nil && u.Host != "" {
			at = u.Host
		}
		return fmt.Sprintf("%s answered %s: try again later", at, status.Status)
	}
	return root(err).Error()
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

// tooLarge is the innermost error that tells what is too large.
func tooLarge(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil || inner == ErrTooLarge {
			return err
		}
		err = inner
	}
}

// ErrPlatform is an image for other machines.
var ErrPlatform = errors.New("it has no variant for this platform")

// Failures that only we can tell.
var (
	errInvalid = errors.New("it is not a valid image")
	errStalled = errors.New("the registry stopped sending")
)

func classify(err error) Kind {
	var dns *net.DNSError
	var netErr net.Error
	var status remoteerrors.ErrUnexpectedStatus
	var token *tokenError
	var credentials *credentialsError
	var away awayError
	var host *hostError
	if errors.As(err, &away) {
		return KindAway
	}
	if errors.As(err, &token) && token.kind() != "" {
		return token.kind()
	}
	switch {
	case errors.Is(err, errStalled):
		return KindUnreachable
	case errors.As(err, &credentials) && !errors.Is(err, context.Canceled):
		return KindCredentials
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.Is(err, ErrPlatform):
		return KindPlatform
	case errors.Is(err, ErrTooLarge):
		return KindTooLarge
	case errors.Is(err, errInvalid):
		return KindInvalid
	case errors.Is(err, ErrUser):
		return KindUser
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, space.ErrLow):
		return KindNoSpace
	case errors.As(err, &host) && host.untrusted():
		return KindUntrusted
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
