package server

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/snapshot"
	daytona "github.com/opendaytona/daytona/sdk"
)

func imagesCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "images", Short: "The image of the default snapshots",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var variant string
	b := &cobra.Command{
		Use: "build", Short: "Build a variant of the default image and make the default snapshots of it",
		Long: `Build a variant of the default image on the running server, and make
daytona-small, daytona-medium and daytona-large of it. They keep their old image
until the new one is built; sandboxes made before go on as they are.

slim has Python, Node.js, git and language servers; full adds the libraries and
tools that agents ask for, several GiB of them.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if variants := []string{recipes.Slim, recipes.Full}; !slices.Contains(variants, variant) {
				return fmt.Errorf("--variant %q is not valid: use slim or full", variant)
			}
			config, err := load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return buildImages(ctx, config, variant, cmd.OutOrStdout())
		},
	}
	b.Flags().StringVar(&variant, "variant", recipes.Slim, "what to build: slim or full")
	c.AddCommand(b)
	return c
}

// buildImages asks the running server to build the variant and to make the
// default snapshots of it.
func buildImages(ctx context.Context, c Config, variant string, out io.Writer) error {
	creds, err := administrator(c)
	if err != nil {
		return err
	}
	client, err := daytona.NewClientWithConfig(daytona.Config{APIKey: creds.APIKey, APIURL: creds.APIURL})
	if err != nil {
		return err
	}
	m := made{recipe: thisMachine().recipe, base: &base{baseImage: thisMachine().base}}
	image := m.reference(variant)
	// It is built under a name of its own, so that the others wait for nothing
	// afterwards.
	trial := "daytona-" + variant + "-" + m.version
	if err := replaceSnapshot(ctx, client, daytona.CreateSnapshotParams{Name: trial, Image: image}, out); err != nil {
		return err
	}
	for _, d := range defaultSnapshots {
		err := replaceSnapshot(ctx, client, daytona.CreateSnapshotParams{
			Name: d.name, Image: image, Entrypoint: snapshot.DefaultEntrypoint, General: true,
			Resources: &daytona.Resources{CPU: d.resources.CPU, Memory: d.resources.Memory, Disk: d.resources.Disk},
		}, io.Discard)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is made of %s now\n", d.name, image)
	}
	return client.Snapshot.Delete(ctx, trial)
}

// replaceSnapshot makes a snapshot in place of the one that has its name.
func replaceSnapshot(ctx context.Context, client *daytona.Client, p daytona.CreateSnapshotParams, out io.Writer) error {
	p.Replace = true
	if _, err := client.Snapshot.Create(ctx, p, func(line string) { fmt.Fprintln(out, line) }); err != nil {
		return fmt.Errorf("make snapshot %s: %w", p.Name, err)
	}
	return nil
}
