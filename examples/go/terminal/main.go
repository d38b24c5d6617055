// Command terminal opens a terminal in a sandbox, types into it, leaves it, comes
// back and sees it end. The server and the key are in DAYTONA_API_URL and
// DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/terminal
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
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
	sandbox, err := client.Create(ctx, daytona.CreateParams{AutoStopInterval: new(5)})
	if sandbox != nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, sandbox.Delete(ctx), sandbox.WaitUntilDeleted(ctx))
		}()
	}
	if err != nil {
		return err
	}
	options := daytona.PtyOptions{Env: map[string]string{"NAME": "Ada"}, Cols: 100, Rows: 30}
	pty, err := sandbox.Process.CreatePty(ctx, "work", options)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(pty, "answer='a terminal'\n"); err != nil {
		return err
	}
	if err := pty.Close(); err != nil { // the shell goes on
		return err
	}

	pty, err = sandbox.Process.ConnectPty(ctx, "work")
	if err != nil {
		return err
	}
	defer pty.Close()
	if err := pty.Resize(ctx, 120, 40); err != nil {
		return err
	}
	if _, err := io.WriteString(pty, "echo \"$NAME has $answer of $(stty size)\"; exit 3\n"); err != nil {
		return err
	}
	if _, err := io.Copy(os.Stdout, pty); err != nil {
		return err
	}
	exit, _ := pty.Exit()
	fmt.Println("exit code", exit.Code)
	return nil
}
