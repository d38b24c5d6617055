// Command git clones a repository in a sandbox, changes it on a branch and pushes
// the branch. The remote is a bare repository in the same sandbox, so the example
// needs no account anywhere; use the https:// URL of yours, and give GitCredentials
// to Clone, Pull and Push. The server and the key are in DAYTONA_API_URL and
// DAYTONA_API_KEY (eval "$(daytona env)"); run it with
//
//	go run ./examples/go/git
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
	git := sandbox.Git
	if err := git.Init(ctx, "origin.git", true, "main"); err != nil {
		return err
	}
	if err := git.Clone(ctx, "./origin.git", "project", daytona.GitCloneOptions{}); err != nil {
		return err
	}
	commit := func(file, text, message string) error {
		if err := sandbox.FileSystem.UploadFile(ctx, []byte(text), "project/"+file); err != nil {
			return err
		}
		if err := git.Add(ctx, "project", file); err != nil {
			return err
		}
		hash, err := git.Commit(ctx, "project", message, "Ada", "ada@example.com", false)
		if err != nil {
			return err
		}
		fmt.Println("committed", hash[:7])
		return git.Push(ctx, "project", daytona.GitPushOptions{SetUpstream: true})
	}
	if err := commit("README.md", "# Project\n", "First commit"); err != nil {
		return err
	}
	if err := git.CreateBranch(ctx, "project", "feature"); err != nil {
		return err
	}
	if err := commit("hello.py", "print('hello')\n", "Say hello"); err != nil {
		return err
	}
	if err := git.Checkout(ctx, "project", "main"); err != nil {
		return err
	}
	branches, err := git.Branches(ctx, "project")
	if err != nil {
		return err
	}
	fmt.Println("branches:", strings.Join(branches.Branches, ", "))
	if err := git.Clone(ctx, "./origin.git", "copy", daytona.GitCloneOptions{Branch: "feature"}); err != nil {
		return err
	}
	history, err := git.History(ctx, "copy")
	if err != nil {
		return err
	}
	for _, c := range history {
		fmt.Println(c.Hash[:7], c.Message)
	}
	return nil
}
