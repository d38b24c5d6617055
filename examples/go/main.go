// From an image to a snapshot, to a sandbox, to code that runs. Needs
// DAYTONA_API_URL and DAYTONA_API_KEY, which eval "$(daytona env)" sets.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	daytona "github.com/opendaytona/daytona/sdk"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	client, err := daytona.NewClient()
	if err != nil {
		return err
	}
	snapshot, err := client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{
		Name: "example-go", Image: "python:3.11-slim",
		Resources: &daytona.Resources{CPU: 2, Memory: 2, Disk: 4}, RegionID: "us",
	}, func(line string) { fmt.Println(line) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Snapshot.Delete(context.WithoutCancel(ctx), snapshot.Name)) }()

	sandbox, err := client.Create(ctx, daytona.CreateParams{Snapshot: snapshot.Name})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sandbox.Delete(context.WithoutCancel(ctx))) }()

	answer, err := sandbox.Process.CodeRun(ctx, "python", `print("Hello from a sandbox!")`, nil, daytona.ExecuteOptions{})
	if err != nil {
		return err
	}
	fmt.Print(answer.Result)
	if err := sandbox.FileSystem.UploadFile(ctx, []byte("kept on its disk\n"), "note.txt"); err != nil {
		return err
	}
	note, err := sandbox.FileSystem.DownloadFile(ctx, "note.txt")
	if err != nil {
		return err
	}
	fmt.Print(string(note))
	return nil
}
