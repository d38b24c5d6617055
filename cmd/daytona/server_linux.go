package main

import (
	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/internal/server"
)

// commands are those that the client alone does not have.
func commands(version string) []*cobra.Command {
	return []*cobra.Command{server.Command(version)}
}
