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
	c := group("warm-pool", "Manage pools of sandboxes that are started ahead of time", "warm-pools")
	c.AddCommand(a.warmPoolCreate(), a.warmPoolList(), a.warmPoolResize(), a.warmPoolDelete())
	return c
}

func (a *app) warmPoolCreate() *cobra.Command {
	var region string
	return a.sized(&cobra.Command{
		Use: "create SNAPSHOT --size N", Short: "Create a warm pool for a snapshot", Args: exactly(1, "a snapshot name or id"),
		Long: `Create a warm pool, which keeps started sandboxes of a snapshot ready. A create request
that matches takes one of them in milliseconds, and the pool starts another. Waiting
sandboxes count against your quota.`,
		Example: `  daytona warm-pool create my-snapshot --size 5`,
	}, func(c *cobra.Command) {
		c.Flags().StringVar(&region, "region", "", "region (default: your organization's default region)")
	},
		func(c *cobra.Command, client *daytona.Client, name string, size int) (*api.WarmPool, error) {
			return client.WarmPool.Create(c.Context(), name, size, region)
		})
}

func (a *app) warmPoolResize() *cobra.Command {
	return a.sized(&cobra.Command{
		Use: "resize POOL --size N", Short: "Change the size of a warm pool", Args: exactly(1, "a pool id or the name of its snapshot"),
		Long: "Change how many sandboxes a warm pool keeps ready. A size of 0 drains the pool.",
	}, func(*cobra.Command) {}, func(c *cobra.Command, client *daytona.Client, name string, size int) (*api.WarmPool, error) {
		p, err := client.WarmPool.Get(c.Context(), name)
		if err != nil {
			return nil, err
		}
		return client.WarmPool.Update(c.Context(), p.ID, size)
	})
}

// sized adds --size and RunE to a command that sets the size of one pool.
func (a *app) sized(c *cobra.Command, more func(*cobra.Command), do func(*cobra.Command, *daytona.Client, string, int) (*api.WarmPool, error)) *cobra.Command {
	var size int
	f := formatFlag(c)
	c.Flags().IntVar(&size, "size", 0, "number of sandboxes to keep ready")
	more(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if !c.Flags().Changed("size") {
			return usageError{errors.New("--size is required, for example --size 5")}
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
			fmt.Fprintf(w, "Warm pool of %s: %d of %d sandboxes are ready.\n", p.Snapshot, p.CurrentSize, p.Pool)
		})
	}
	return c
}

func (a *app) warmPoolList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List warm pools", Args: none}
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
		Use: "delete POOL...", Short: "Delete one or more warm pools and their waiting sandboxes", Args: several("at least one pool id or snapshot name"),
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
