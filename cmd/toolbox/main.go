// Command toolbox is the agent in a sandbox; see internal/toolbox. The engine
// starts it without arguments as the first process, with its socket and its
// configuration as inherited descriptors. For debugging it also runs outside:
// toolbox serve --socket PATH --config FILE. As toolbox probe it is the program
// by which the engine tries a sandbox; the agent runs it as the desktop's worker.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/desktop/link"
	"github.com/opendaytona/daytona/internal/toolbox/desktop/worker"
	"github.com/opendaytona/daytona/internal/toolbox/probe"
)

func main() {
	// The agent moves bytes and starts processes; more threads than this gain
	// nothing and cost memory in each of hundreds of sandboxes.
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), 4))
	debug.SetGCPercent(50)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "toolbox:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	source := inherited
	if len(args) > 0 && args[0] == boot.Probe {
		return probe.Run(os.Stdout) // a shell's arguments may follow
	}
	if len(args) > 0 && args[0] == link.Argument {
		return worker.Run()
	}
	if len(args) > 0 {
		if args[0] != "serve" {
			return fmt.Errorf("unknown argument %q; usage: toolbox, or toolbox serve --socket PATH --config FILE", args[0])
		}
		source = func() (net.Listener, boot.Config, error) { return named(args[1:]) }
	}
	listener, cfg, err := source()
	if err != nil {
		return err
	}
	return toolbox.Run(cfg, listener)
}

// inherited takes what the engine handed over.
func inherited() (net.Listener, boot.Config, error) {
	// Without the engine the number may be in use by the Go runtime itself.
	var st syscall.Stat_t
	err := syscall.Fstat(boot.ConfigFD, &st)
	if kind := st.Mode & syscall.S_IFMT; err != nil || (kind != syscall.S_IFREG && kind != syscall.S_IFIFO) {
		return nil, boot.Config{}, fmt.Errorf("there is no configuration on descriptor %d: the server starts this program "+
			"in its sandboxes; to run it by hand: toolbox serve --socket PATH --config FILE", boot.ConfigFD)
	}
	syscall.CloseOnExec(boot.ListenerFD)
	syscall.CloseOnExec(boot.ConfigFD)
	file := os.NewFile(boot.ConfigFD, "configuration")
	cfg, err := read(file)
	if err != nil {
		return nil, cfg, err
	}
	socket := os.NewFile(boot.ListenerFD, "socket")
	defer socket.Close() // the listener has its own
	listener, err := net.FileListener(socket)
	if err != nil {
		return nil, cfg, fmt.Errorf("listen on descriptor %d: %w", boot.ListenerFD, err)
	}
	return listener, cfg, nil
}

func named(args []string) (net.Listener, boot.Config, error) {
	flags := flag.NewFlagSet("toolbox serve", flag.ContinueOnError)
	socket := flags.String("socket", "", "path of the unix socket to make and listen on")
	config := flags.String("config", "", "path of the JSON configuration")
	if err := flags.Parse(args); err != nil {
		return nil, boot.Config{}, err
	}
	if *socket == "" || *config == "" {
		return nil, boot.Config{}, errors.New("both --socket and --config are needed")
	}
	file, err := os.Open(*config)
	if err != nil {
		return nil, boot.Config{}, err
	}
	cfg, err := read(file)
	if err != nil {
		return nil, cfg, err
	}
	listener, err := net.Listen("unix", *socket)
	return listener, cfg, err
}

// read reads and closes file.
func read(file *os.File) (cfg boot.Config, err error) {
	defer file.Close()
	b, err := io.ReadAll(file)
	if err == nil {
		err = json.Unmarshal(b, &cfg)
	}
	if err != nil {
		return cfg, fmt.Errorf("read configuration: %w", err)
	}
	return cfg, nil
}
