package build

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/platforms"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	bkerrors "github.com/moby/buildkit/solver/errdefs"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/space"
)

// Error is the failure of a build.
type Error struct {
	Line int    // of the Dockerfile, from 1; 0 when no line is to blame
	Text string // of that line
	Err  error
}

// newError blames a line. The cause of what BuildKit says is pull, unless that
// is nil: BuildKit itself tells of causes by their text only.
func newError(err error, pull *image.PullError) *Error {
	e := &Error{Err: err}
	// The innermost source is the instruction itself.
	for _, s := range bkerrors.Sources(err) {
		if len(s.Ranges) == 0 || s.Info == nil {
			continue
		}
		lines := strings.Split(string(s.Info.Data), "\n")
		if n := int(s.Ranges[0].Start.Line); n >= 1 && n <= len(lines) {
			e.Line, e.Text = n, strings.TrimSpace(lines[n-1])
			break
		}
	}
	if pull != nil && !errors.Is(err, errTimeout) && !errors.Is(err, space.ErrLow) && !errors.Is(err, context.Canceled) {
		e.Err = pull
	}
	return e
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return "build image: " + e.Err.Error()
	}
	return fmt.Sprintf("build image: line %d: %v", e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Message is one sentence that a user can act on.
func (e *Error) Message() string {
	at := "The build failed"
	if e.Line > 0 {
		at = fmt.Sprintf("The build failed in line %d of the Dockerfile (%s)", e.Line, e.Text)
	}
	var exit *gateway.ExitError
	var told interface{ Message() string }
	var pull *image.PullError
	switch {
	case errors.As(e.Err, &pull):
		return at + ": " + pull.Message()
	case errors.Is(e.Err, errTimeout), errors.Is(e.Err, context.DeadlineExceeded):
		return at + ": " + errTimeout.Error() + "."
	case errors.Is(e.Err, context.Canceled):
		return "The build was cancelled."
	case limit(e.Err) != nil:
		return at + ": " + limit(e.Err).Error() + "."
	case tooLarge.MatchString(e.Err.Error()):
		return at + ": " + tooLarge.FindString(e.Err.Error()) + "."
	case strings.Contains(e.Err.Error(), "unexpected commit digest"):
		return at + ": the image does not match its digest: the registry serves other bytes than it promises."
	case strings.Contains(e.Err.Error(), "no match for platform in manifest"):
		return at + ": the image does not exist for this machine (" + platforms.DefaultString() + ")."
	case errors.Is(e.Err, image.ErrPlatform):
		return at + ": what it makes is for other machines than this one (" + platforms.DefaultString() + "): leave --platform out."
	case errors.Is(e.Err, image.ErrUser):
		return at + ": " + strings.TrimPrefix(e.Err.Error(), "adopt image: ") + "."
	case isNoRoom(e.Err):
		return at + ": the server's disk pool has no room for it. Its organization's cache has been freed: try again; if this stays, delete sandboxes or enlarge the pool."
	case errors.Is(e.Err, space.ErrLow), strings.Contains(e.Err.Error(), unix.ENOSPC.Error()):
		return "The server has no disk space left for this build: deactivate or delete snapshots."
	case errors.As(e.Err, &exit):
		return fmt.Sprintf("%s: its command ended with exit code %d; the build log tells more.", at, exit.ExitCode)
	case errors.As(e.Err, &told):
		return told.Message()
	}
	if name := missing.FindStringSubmatch(e.Err.Error()); name != nil {
		return fmt.Sprintf("%s: %s is not among the files of the build: check its path, what .dockerignore leaves out, and that it was uploaded.", at, name[1])
	}
	return at + ": " + strings.TrimPrefix(root(e.Err), "failed to solve: ") + "."
}

// tooLarge is how image.TooLarge tells what is.
var tooLarge = regexp.MustCompile(regexp.QuoteMeta(image.ErrTooLarge.Error()) + `: [^:]*\)`)

// missing is how BuildKit tells of a source of COPY or ADD that is not there.
var missing = regexp.MustCompile(`failed to calculate checksum of ref .*: "(.*)": not found$`)

// limit is the limit that a build has run into, nil for none. Errors that pass
// BuildKit's client are texts.
func limit(err error) error {
	text := err.Error()
	for _, known := range []error{ErrStepDisk, ErrBuildDisk, engine.ErrStepMemory, engine.ErrStepPIDs, ErrForbiddenAddress, errGit, errForeignID, errDevice} {
		if strings.Contains(text, known.Error()) {
			return known
		}
	}
	return nil
}

// ranOutOfDisk tells whether a build ended at a limit of its disks, or at the
// pool's.
func ranOutOfDisk(err error) bool {
	if err == nil {
		return false
	}
	known := limit(err)
	return errors.Is(err, ErrStepDisk) || errors.Is(err, ErrBuildDisk) || known == ErrStepDisk || known == ErrBuildDisk || isNoRoom(err)
}

// isNoRoom tells whether the pool had no room for a disk of a build.
func isNoRoom(err error) bool {
	return err != nil && strings.Contains(err.Error(), engine.ErrNoSpace.Error())
}

// root is the error's text without the path that gRPC and the solver put
// before it.
func root(err error) string {
	text := err.Error()
	for _, prefix := range []string{"failed to solve: ", "rpc error: code = Unknown desc = ", "dockerfile parse error on "} {
		if i := strings.Index(text, prefix); i >= 0 && prefix != "dockerfile parse error on " {
			text = text[i+len(prefix):]
		}
	}
	return text
}
