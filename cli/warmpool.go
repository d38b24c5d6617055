package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) warmPoolCommand() *cobra.Command {
	c := group("warm-pool", "Sandboxes started ahead of being asked for", "warm-pools")
	c.AddCommand(a.warmPoolCreate(), a.warmPoolList(), a.warmPoolResize(), a.warmPoolDelete())
	return c
}

func (a *app) warmPoolCreate() *cobra.Command {
	var region string
	return a.sized(&cobra.Command{
		Use: "create SNAPSHOT --size N", Short: "Keep sandboxes of a snapshot ready", Args: exactly(1, "a snapshot's name or id"),
		Example: `  daytona warm-pool create my-snapshot --size 5`,
	}, func(c *cobra.Command) {
		c.Flags().StringVar(&region, "region", "", "region (default: your organization's)")
	},
		func(c *cobra.Command, client *daytona.Client, name string, size int) (*api.WarmPool, error) {
			return client.WarmPool.Create(c.Context(), name, size, region)
		})
}

func (a *app) warmPoolResize() *cobra.Command {
	return a.sized(&cobra.Command{
		Use: "resize POOL --size N", Short: "Change how many sandboxes wait; 0 drains the pool", Args: exactly(1, "a pool's snapshot or id"),
	}, func(*cobra.Command) {}, func(c *cobra.Command, client *daytona.Client, name string, size int) (*api.WarmPool, error) {
		p, err := client.WarmPool.Get(c.Context(), name)
		if err != nil {
			return nil, err
		}
		return client.WarmPool.Update(c.Context(), p.ID, size)
	})
}

// sized completes a command that says how large one pool shall be.
func (a *app) sized(c *cobra.Command, more func(*cobra.Command), do func(*cobra.Command, *daytona.Client, string, int) (*api.WarmPool, error)) *cobra.Command {
	var size int
	f := formatFlag(c)
	c.Flags().IntVar(&size, "size", 0, "how many sandboxes should wait")
	more(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if !c.Flags().Changed("size") {
			return usageError{errors.New("--size is needed, for example --size 5")}
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		p, err := do(c, client, args[0], size)
		if err != nil {
			return err
		}
		return f.print(a.program.Out, p, func(w io.Writer) {
			fmt.Fprintf(w, "Warm pool of %s: %d of %d sandboxes wait.\n", p.Snapshot, p.CurrentSize, p.Pool)
		})
	}
	return c
}

func (a *app) warmPoolList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the warm pools, how many sandboxes wait in each, and why fewer do", Args: none}
	f := formatFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		all, err := client.WarmPool.List(cmd.Context())
		if err != nil {
			return err
		}
		return f.print(a.program.Out, all, func(w io.Writer) {
			var lines [][]string
			for _, p := range all {
				lines = append(lines, []string{p.Snapshot, p.Target, fmt.Sprintf("%d/%d", p.CurrentSize, p.Pool), resources(p.CPU, p.Memory, p.Disk), p.ErrorReason})
			}
			rows(w, []string{"Snapshot", "Region", "Ready", "CPU/GiB/Disk", "Error"}, lines)
		})
	}
	return c
}

func (a *app) warmPoolDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete POOL...", Short: "Delete warm pools and what waits in them", Args: several("a pool's snapshot or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			return a.each(args, "Warm pool", past["delete"], func(name string) error {
				p, err := client.WarmPool.Get(cmd.Context(), name)
				if err != nil {
					return err
				}
				return client.WarmPool.Delete(cmd.Context(), p.ID)
			})
		},
	}
}
