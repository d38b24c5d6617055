// Command image describes an image in code, has the server build it, and runs
// code in a sandbox of it. The server and the key are in DAYTONA_API_URL and
// DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/image
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
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
	folder, err := os.MkdirTemp("", "example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "main.py"), []byte("import six\nprint('six', six.__version__)\n"), 0o644); err != nil {
		return err
	}
	image := daytona.Base("python:3.12-slim-bookworm").
		PipInstall([]string{"six==1.17.0"}, daytona.PipOptions{}).
		AddLocalDir(folder, "/srv/app").
		Workdir("/srv/app")
	sandbox, err := client.Create(ctx, daytona.CreateParams{
		Build: image, Resources: &daytona.Resources{CPU: 1, Memory: 1, Disk: 3},
		OnBuildLogs: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if sandbox != nil { // also one whose build has failed
		defer func() { err = errors.Join(err, sandbox.Delete(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return err
	}
	out, err := sandbox.Process.ExecuteCommand(ctx, "python3 main.py", daytona.ExecuteOptions{})
	if err != nil {
		return err
	}
	fmt.Print(out.Result)
	if out.ExitCode != 0 {
		return fmt.Errorf("main.py ended with exit code %d", out.ExitCode)
	}
	return nil
}
