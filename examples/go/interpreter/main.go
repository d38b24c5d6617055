// Command interpreter runs Python code in a sandbox whose state stays between runs.
// The server and the key are in DAYTONA_API_URL and DAYTONA_API_KEY
// (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/interpreter
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
	interpreter := sandbox.CodeInterpreter
	if _, err := interpreter.RunCode(ctx, "import math\nradius = 2", daytona.RunCodeOptions{}); err != nil {
		return err
	}
	// Output comes while the code runs.
	show := daytona.RunCodeOptions{OnStdout: func(text string) { fmt.Print(text) }}
	if _, err := interpreter.RunCode(ctx, "print('area:', round(math.pi * radius**2, 2))", show); err != nil {
		return err
	}
	failed, err := interpreter.RunCode(ctx, "radius / 0", show)
	if err != nil {
		return err
	}
	fmt.Println("failed:", failed.Error)

	// A context of its own has its own variables.
	own, err := interpreter.CreateContext(ctx, "/tmp")
	if err != nil {
		return err
	}
	show.ContextID = own.ID
	show.Timeout = time.Second
	if _, err := interpreter.RunCode(ctx, "kept = 1\nwhile True: pass", show); !errors.Is(err, daytona.ErrTimeout) {
		return fmt.Errorf("an endless loop: %w", err)
	}
	if _, err := interpreter.RunCode(ctx, "print('after the timeout:', kept)", show); err != nil {
		return err
	}
	return interpreter.DeleteContext(ctx, own.ID)
}
