// Command languageserver starts a language server in a sandbox, and prints the symbols
// of a project and what may stand at a place in a file. The image needs pylsp; the
// default snapshots have it. The server and the key are in DAYTONA_API_URL and
// DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/languageserver
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

const source = `class Greeter:
    def greet(self, name: str) -> str:
        return "hello " + name


g = Greeter()
g.
`

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
	const file = "project/greeter.py"
	if err := sandbox.FileSystem.UploadFile(ctx, []byte(source), file); err != nil {
		return err
	}
	server := sandbox.LanguageServer("python", "project")
	if err := server.Start(ctx); err != nil {
		return err
	}
	symbols, err := server.DocumentSymbols(ctx, file)
	if err != nil {
		return err
	}
	for _, s := range symbols {
		fmt.Println(s.Name, "in line", s.Location.Range.Start.Line+1)
	}
	completions, err := server.Completions(ctx, file, daytona.Position{Line: 6, Character: 2}) // both begin with 0
	if err != nil {
		return err
	}
	for _, item := range completions.Items {
		if !strings.HasPrefix(item.Label, "__") {
			fmt.Println("g." + item.Label)
		}
	}
	found, err := server.WorkspaceSymbols(ctx, "Greeter")
	if err != nil {
		return err
	}
	for _, s := range found {
		fmt.Println("found", s.Name, "in", s.Location.URI)
	}
	return server.Stop(ctx)
}
