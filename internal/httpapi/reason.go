package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// The official SDKs for Go and Java name only the state of a sandbox whose build
// has failed, as the one for Java does of snapshots, unless the answer to the
// create is an error. The one for Go also ends the reader of the build's log
// when it learns of the failure. So their creates wait for a failure that comes
// early, and answer with the reason and the end of the log. Those that do not
// fail are told of as they would be at once, so that their log is read.
const (
	sourceGo   = "sdk-go"
	sourceJava = "sdk-java"
)

// logEnd is how many lines of a log an error has, and the most bytes of them.
const (
	logEnd      = 20
	logEndBytes = 4 << 10
)

// earlyFailure waits for the failure of a sandbox whose image is being built, if
// the client shows the reason in no other way.
func (a *API) earlyFailure(ctx context.Context, sb *sandbox.Sandbox) error {
	if source := from(ctx).source; source != sourceGo && source != sourceJava {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, javaPatience)
	defer cancel()
	sb, err := a.Sandboxes.Settle(wait, sb)
	if err != nil || sb.State != sandbox.StateBuildFailed && sb.State != sandbox.StateError {
		return err
	}
	end := ""
	s, err := a.Snapshots.Get(ctx, sb.OrganizationID, sb.SnapshotID)
	switch {
	case err == nil:
		end, err = a.endOfLog(ctx, s, sb.ErrorReason)
	case fault.Is(err, fault.KindNotFound): // the same build goes on anew
		err = nil
	}
	if err != nil {
		return err
	}
	return startFailed(sb, end)
}

// earlySnapshotFailure is the same for a snapshot.
func (a *API) earlySnapshotFailure(ctx context.Context, s *snapshot.Snapshot) error {
	if from(ctx).source != sourceJava {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, javaPatience)
	defer cancel()
	s, err := a.Snapshots.Settle(wait, s)
	if err != nil || !s.State.Failed() {
		return err
	}
	end, err := a.endOfLog(ctx, s, s.ErrorReason)
	if err != nil {
		return err
	}
	return &fault.Error{Kind: fault.KindInvalid, Code: "SNAPSHOT_FAILED", Message: fmt.Sprintf("Snapshot %q could not be created: %s%s", s.Name, s.ErrorReason, end)}
}

// endOfLog is how the log of a failure ends, before the line with the reason.
func (a *API) endOfLog(ctx context.Context, s *snapshot.Snapshot, reason string) (string, error) {
	var log tail
	if err := a.Snapshots.CopyLog(ctx, &log, s, false); err != nil {
		return "", err
	}
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.ToValidUTF8(string(log), "")), reason))
	if text == "" {
		return "", nil
	}
	lines := strings.Split(text, "\n")
	return "\nThe end of its log:\n" + strings.Join(lines[max(0, len(lines)-logEnd):], "\n"), nil
}

// tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if n := len(*t) - logEndBytes; n > 0 {
		*t = bytes.Clone((*t)[n:])
	}
	return len(p), nil
}
