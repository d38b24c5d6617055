package main

import (
	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/server"
)

// commands are those that the client alone does not have.
func commands(version string) []*cobra.Command {
	return []*cobra.Command{server.Command(version)}
}

// startedByServer does not return where a server has started this program for
// one of its parts.
func startedByServer() { objectstore.RunEndpoint() }
