//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// commands are those that the client alone does not have.
func commands(string) []*cobra.Command {
	return []*cobra.Command{{
		Use: "server", Short: "Run a server (on Linux)", SilenceUsage: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("the server runs on Linux only: start it there, and use this program as its client")
		},
	}}
}

// startedByServer does nothing here: no server starts this program.
func startedByServer() {}
