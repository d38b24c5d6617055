package e2e

import (
	"strings"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// logOf makes a snapshot of an image and returns what its log says.
func logOf(s *serve.Server, name, image string) (string, error) {
	s.T.Helper()
	var lines []string
	_, err := s.Client.Snapshot.Create(s.T.Context(), daytona.CreateSnapshotParams{Name: name, Image: image}, func(line string) { lines = append(lines, line) })
	return strings.Join(lines, "\n"), err
}

func TestFilesOfUsersThatNoSandboxHasCanBeUsedAndAreTold(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	for _, name := range []string{"wide", "wide-again"} {
		log, err := logOf(s, name, "fixtures/foreign-ids:files")
		if err != nil || !strings.Contains(log, "2 files of this image belong to nobody (65534) here instead of") || !strings.Contains(log, "/srv/wide") {
			t.Errorf("%s: %v: %s", name, err, log)
		}
	}
	says(s, "wide", "stat -c %u:%g /srv/wide/file && cat /srv/wide/file && echo && chown -R 1:1 /srv/wide && echo more >>/srv/wide/file && stat -c %u:%g /srv/wide /srv/wide/file", "65534:65534\nwide\n1:1\n1:1")
	if _, err := logOf(s, "user", "fixtures/foreign-ids:user"); err == nil || !strings.Contains(err.Error(), "USER") || !strings.Contains(err.Error(), "65535") {
		t.Errorf("an image that runs as such a user: %v", err)
	}
	if _, err := s.Client.Create(t.Context(), daytona.CreateParams{Snapshot: "wide", User: "200000"}); err == nil || !strings.Contains(err.Error(), "65535") {
		t.Errorf("a sandbox that runs as such a user: %v", err)
	}
}

func TestASnapshotWarnsOfAnEntrypointThatIsNotThere(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	log, err := logOf(s, "none", "fixtures/entrypoint-missing:1")
	if err != nil || !strings.Contains(log, "no program no-such-program") {
		t.Errorf("%v: %s", err, log)
	}
	if log, err := logOf(s, "exits", "fixtures/entrypoint-exits:1"); err != nil || strings.Contains(log, "no program") {
		t.Errorf("of one that is there: %v: %s", err, log)
	}
	says(s, "none", "echo runs", "runs")
}
