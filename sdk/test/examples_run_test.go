//go:build linux

package daytona_test

import (
	"io"
	"os"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
)

// The examples need a server, so they cannot have an Output of their own.
func TestTheExamplesWork(t *testing.T) {
	_, _, s := started(t)
	t.Setenv("DAYTONA_API_URL", s.APIURL)
	t.Setenv("DAYTONA_API_KEY", s.Key)
	for name, c := range map[string]struct {
		run  func()
		want string
	}{
		"Example":                  {Example, "exit code 0: 42\n"},
		"SnapshotService_Create":   {ExampleSnapshotService_Create, "my-snapshot active 2\n"},
		"Image":                    {ExampleImage, "built active\n"},
		"FollowSessionCommandLogs": {ExampleProcess_FollowSessionCommandLogs, "step 1\nstep 2\nstep 3\n"},
		"UploadFileStream":         {ExampleFileSystem_UploadFileStream, "2\nnot there: true\n"},
	} {
		if got := printed(t, c.run); got != c.want {
			t.Errorf("%s printed %q, want %q", name, got, c.want)
		}
	}
	client, err := daytona.NewClient()
	ok(t, err)
	for sb, err := range client.List(t.Context(), daytona.ListParams{}) {
		ok(t, err)
		if sb.Name != "box" {
			ok(t, sb.WaitUntilDeleted(t.Context()))
		}
	}
	if got := printed(t, ExampleClient_List); got != "1 started\n" {
		t.Errorf("List printed %q", got)
	}
}

// printed is what run writes to the process's standard output.
func printed(t *testing.T, run func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	ok(t, err)
	before := os.Stdout
	os.Stdout = w
	run() // writes far less than a pipe holds
	os.Stdout = before
	ok(t, w.Close())
	text, err := io.ReadAll(r)
	ok(t, err)
	ok(t, r.Close())
	return string(text)
}
