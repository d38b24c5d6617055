package daytona_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

// A sandbox of the default snapshot runs code and goes away. The server and the
// key are in DAYTONA_API_URL and DAYTONA_API_KEY.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := daytona.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	sandbox, err := client.Create(ctx, daytona.CreateParams{Language: "python"})
	if err != nil {
		log.Fatal(err)
	}
	defer sandbox.Delete(ctx)
	out, err := sandbox.Process.CodeRun(ctx, "", "print(6 * 7)", nil, daytona.ExecuteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("exit code %d: %s", out.ExitCode, out.Result)
}

// A snapshot is made of an image; what happens is told as it happens.
func ExampleSnapshotService_Create() {
	ctx := context.Background()
	client, err := daytona.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	snapshot, err := client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{
		Name: "my-snapshot", Image: "python:3.12.10-slim-bookworm",
		Resources: &daytona.Resources{CPU: 2, Memory: 4, Disk: 8},
	}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	var failed *daytona.StateError
	switch {
	case errors.As(err, &failed):
		log.Fatal("the image cannot be had: ", failed.Reason)
	case errors.Is(err, daytona.ErrConflict):
		log.Fatal("there is a snapshot of that name")
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(snapshot.Name, snapshot.State, snapshot.CPU)
	if err := client.Snapshot.Delete(ctx, snapshot.Name); err != nil {
		log.Fatal(err)
	}
}

// An image is described in code and built by the server. Local files that it
// copies (AddLocalFile, AddLocalDir, FromDockerfile) are uploaded.
func ExampleImage() {
	ctx := context.Background()
	client, err := daytona.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	image := daytona.DebianSlim("3.12").
		PipInstall([]string{"requests"}, daytona.PipOptions{}).
		Env(map[string]string{"STAGE": "test"}).
		Workdir("/srv")
	snapshot, err := client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "built", Build: image}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		log.Fatal(err) // a failed build names the line of the Dockerfile
	}
	fmt.Println(snapshot.Name, snapshot.State)
	if err := client.Snapshot.Delete(ctx, snapshot.Name); err != nil {
		log.Fatal(err)
	}
}

// The text of an image's Dockerfile is the official SDKs'.
func ExampleImage_Dockerfile() {
	fmt.Print(daytona.Base("debian:12.9").RunCommands("apt-get update").Env(map[string]string{"GREETING": "good day"}).Dockerfile())
	// Output:
	// FROM debian:12.9
	// RUN apt-get update
	// ENV GREETING='good day'
}

// A session keeps its directory and variables between commands. What an
// asynchronous command writes comes as it is written.
func ExampleProcess_FollowSessionCommandLogs() {
	ctx := context.Background()
	client, err := daytona.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	sandbox, err := client.Create(ctx, daytona.CreateParams{Ephemeral: true})
	if err != nil {
		log.Fatal(err)
	}
	defer sandbox.Delete(ctx)
	if err := sandbox.Process.CreateSession(ctx, "build"); err != nil {
		log.Fatal(err)
	}
	command, err := sandbox.Process.ExecuteSessionCommand(ctx, "build", daytona.SessionExecuteRequest{
		Command: "for i in 1 2 3; do echo step $i; done", RunAsync: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := sandbox.Process.FollowSessionCommandLogs(ctx, "build", command.CmdID, os.Stdout, os.Stderr); err != nil {
		log.Fatal(err)
	}
}

// Files of any size stream in and out.
func ExampleFileSystem_UploadFileStream() {
	ctx := context.Background()
	client, err := daytona.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	sandbox, err := client.Create(ctx, daytona.CreateParams{})
	if err != nil {
		log.Fatal(err)
	}
	defer sandbox.Delete(ctx)
	if err := sandbox.FileSystem.UploadFileStream(ctx, strings.NewReader("a,b\n1,2\n"), "data/table.csv"); err != nil {
		log.Fatal(err)
	}
	out, err := sandbox.Process.ExecuteCommand(ctx, "wc -l < data/table.csv", daytona.ExecuteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(out.Result)
	_, err = sandbox.FileSystem.DownloadFile(ctx, "data/other.csv")
	fmt.Println("not there:", errors.Is(err, daytona.ErrNotFound))
}

// List fetches pages as they are needed.
func ExampleClient_List() {
	ctx := context.Background()
	client, err := daytona.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	started := 0
	for sandbox, err := range client.List(ctx, daytona.ListParams{States: []api.SandboxState{api.SandboxStarted}}) {
		if err != nil {
			log.Fatal(err)
		}
		if sandbox.Name != "" {
			started++
		}
	}
	fmt.Println(started, "started")
}
