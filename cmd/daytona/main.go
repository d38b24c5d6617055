// Command daytona is the client and, on Linux, the server.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/opendaytona/daytona/cli"
)

// version is set by the linker.
var version = ""

func main() {
	startedByServer()
	os.Exit(cli.Main(context.Background(), cli.Program{
		Version: versionOf(), Commands: commands(versionOf()),
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
	}))
}

// versionOf is the linker's word, or what the go command knows.
func versionOf() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
