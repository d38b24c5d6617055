// Command files uploads, lists, searches, changes and downloads files of a
// sandbox, and shares one by a signed URL. The server and the key are in
// DAYTONA_API_URL and DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/files
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
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
	if err := change(ctx, sandbox.FileSystem); err != nil {
		return err
	}
	return share(ctx, sandbox)
}

func change(ctx context.Context, fs *daytona.FileSystem) error {
	err := fs.UploadFiles(ctx,
		daytona.FileUpload{Source: strings.NewReader("print('hello')  # TODO: greet\n"), Destination: "project/main.py"},
		daytona.FileUpload{Source: strings.NewReader("row\n"), Destination: "project/data/0.csv"},
	)
	if err != nil {
		return err
	}
	files, err := fs.ListTree(ctx, "project", 2)
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Println(f.Permissions, f.Size, f.Path)
	}
	matches, err := fs.FindFiles(ctx, "project", "TODO")
	if err != nil {
		return err
	}
	for _, m := range matches {
		fmt.Printf("%s:%d: %s\n", m.File, m.Line, m.Content)
	}
	if _, err := fs.ReplaceInFiles(ctx, []string{"project/main.py"}, "TODO: greet", "greets"); err != nil {
		return err
	}
	return fs.DownloadFiles(ctx, []string{"project/main.py", "missing"}, func(path string, content io.Reader, failure error) error {
		if failure != nil {
			fmt.Println(path, failure)
			return nil
		}
		_, err := io.Copy(os.Stdout, content)
		return err
	})
}

// share gives out URLs: whoever has them needs no API key.
func share(ctx context.Context, sandbox *daytona.Sandbox) error {
	upload, err := sandbox.UploadURL(ctx, "project/shared.txt", time.Minute)
	if err != nil {
		return err
	}
	res, err := http.Post(upload, "application/octet-stream", strings.NewReader("shared"))
	if err != nil {
		return err
	}
	res.Body.Close()
	download, err := sandbox.DownloadURL(ctx, "project/shared.txt", time.Hour)
	if err != nil {
		return err
	}
	if res, err = http.Get(download); err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	fmt.Println(res.Status, string(text))
	return sandbox.RotateSigningKey(ctx) // ends all of them
}
