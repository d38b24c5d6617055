// Command go makes a snapshot of an image and a sandbox of the snapshot, runs
// code in it, sends a file in and fetches one, and cleans up. It exits non-zero
// when any of that fails. The server and the key are in DAYTONA_API_URL and
// DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

const image = "python:3.12.10-slim-bookworm"

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	client, err := daytona.NewClient()
	if err != nil {
		return err
	}
	// What was made goes again, also when the rest fails.
	var cleanup []func(context.Context) error
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		for i := len(cleanup) - 1; i >= 0; i-- {
			err = errors.Join(err, cleanup[i](ctx))
		}
	}()

	name := fmt.Sprintf("example-go-%d", time.Now().UnixNano())
	snapshot, err := client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{
		Name: name, Image: image, Resources: &daytona.Resources{CPU: 1, Memory: 1, Disk: 3},
	}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if snapshot != nil { // also one whose image cannot be had
		cleanup = append(cleanup, func(ctx context.Context) error { return client.Snapshot.Delete(ctx, snapshot.ID) })
	}
	if err != nil {
		return err
	}
	fmt.Printf("Snapshot %s is %s.\n", snapshot.Name, snapshot.State)

	sandbox, err := client.Create(ctx, daytona.CreateParams{Snapshot: snapshot.Name, Language: "python", AutoStopInterval: new(5)})
	if sandbox != nil {
		cleanup = append(cleanup, func(ctx context.Context) error {
			return errors.Join(sandbox.Delete(ctx), sandbox.WaitUntilDeleted(ctx))
		})
	}
	if err != nil {
		return err
	}
	fmt.Printf("Sandbox %s is %s.\n", sandbox.ID, sandbox.State)
	return use(ctx, sandbox)
}

func use(ctx context.Context, sandbox *daytona.Sandbox) error {
	code := `import platform; print("hello from Python", platform.python_version())`
	out, err := sandbox.Process.CodeRun(ctx, "", code, nil, daytona.ExecuteOptions{})
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("the code ended with exit code %d: %s", out.ExitCode, out.Result)
	}
	fmt.Print(out.Result)

	if err := sandbox.FileSystem.UploadFile(ctx, []byte("sandbox\n"), "greeting.txt"); err != nil {
		return err
	}
	out, err = sandbox.Process.ExecuteCommand(ctx, "tr a-z A-Z < greeting.txt > loud.txt", daytona.ExecuteOptions{Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	if out.ExitCode != 0 {
		return fmt.Errorf("the command ended with exit code %d: %s", out.ExitCode, out.Result)
	}
	loud, err := sandbox.FileSystem.DownloadFile(ctx, "loud.txt")
	if err != nil {
		return err
	}
	if string(loud) != "SANDBOX\n" {
		return fmt.Errorf("loud.txt holds %q", loud)
	}
	fmt.Printf("downloaded %s", loud)
	return nil
}
