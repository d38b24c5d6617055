package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) portForwardCommand() *cobra.Command {
	var host string
	c := &cobra.Command{
		Use: "port-forward SANDBOX [LOCAL:]PORT...", Short: "Forward local ports to ports of a sandbox",
		Long: `Forward local TCP ports to ports of a sandbox until interrupted.

LOCAL is the local port to listen on; it defaults to PORT, and 0 selects a free
port. The command prints one line for each port when it listens.`,
		Example: `  daytona port-forward web 5432
  daytona port-forward web 8080:80 0:6379`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{fmt.Errorf("requires a sandbox id or name and a port: %s", cmd.UseLine())}
			}
			return nil
		},
	}
	c.Flags().StringVar(&host, "address", "127.0.0.1", "local address to listen on")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var all []forward
		for _, text := range args[1:] {
			f, err := parseForward(text)
			if err != nil {
				return usageError{err}
			}
			all = append(all, f)
		}
		s, err := a.sandbox(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.forward(cmd.Context(), s, host, all)
	}
	return c
}

// forward is a local port and the sandbox's port that it leads to.
type forward struct{ local, port int }

func parseForward(text string) (f forward, err error) {
	local, port, both := strings.Cut(text, ":")
	if !both {
		port = local
	}
	f.port, err = strconv.Atoi(port)
	if err == nil {
		f.local, err = strconv.Atoi(local)
	}
	if err != nil || f.port < 1 || f.port > 65535 || f.local < 0 || f.local > 65535 || f.local == 0 && !both {
		return f, fmt.Errorf("%s is not a port: use PORT, such as 5432, or LOCAL:PORT, such as 8080:80", text)
	}
	return f, nil
}

// forward listens until ctx ends, and returns when its connections are closed.
func (a *app) forward(ctx context.Context, s *daytona.Sandbox, host string, all []forward) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	failed := make(chan error, len(all))
	for _, f := range all {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(f.local)))
		if err != nil {
			return fmt.Errorf("forward port %d of the sandbox: %w; choose another local port with LOCAL:%d", f.port, err, f.port)
		}
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
		defer l.Close()
		fmt.Fprintf(a.program.Out, "%s -> %s port %d\n", l.Addr(), s.Name, f.port)
		conns.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				conns.Go(func() {
					defer conn.Close()
					if err := carry(ctx, conn, s, f.port); err != nil && ctx.Err() == nil {
						fmt.Fprintln(a.program.Err, "Error: "+describe(err))
					}
				})
			}
		})
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-failed:
		if errors.Is(err, net.ErrClosed) {
			return ctx.Err()
		}
		return err
	}
}

// carry connects conn to the port until either side closes or ctx ends. It may leave
// conn open when it fails.
func carry(ctx context.Context, conn net.Conn, s *daytona.Sandbox, port int) error {
	remote, err := s.DialPort(ctx, port)
	if err != nil {
		return err
	}
	end := func() { conn.Close(); remote.Close() }
	defer context.AfterFunc(ctx, end)()
	var ways sync.WaitGroup
	ways.Go(func() { defer end(); _, _ = io.Copy(remote, conn) })
	ways.Go(func() { defer end(); _, _ = io.Copy(conn, remote) })
	ways.Wait()
	return nil
}
