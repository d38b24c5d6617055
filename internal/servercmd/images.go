package servercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/defaultimage"

	"github.com/spf13/cobra"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/snapshot"
	daytona "github.com/opendaytona/daytona/sdk"
)

func imagesCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "images", Short: "Manage the image of the default snapshots",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var variant string
	b := &cobra.Command{
		Use: "build", Short: "Build a variant of the default image and update the default snapshots",
		Long: `Build a variant of the default image on the running server, and update
daytona-small, daytona-medium and daytona-large to it. The snapshots keep their old
image until the new one is built. Existing sandboxes do not change. Default snapshots
that were deleted are created again.

slim contains Python, Node.js, git and language servers. desktop adds a desktop with a
browser. full adds several GiB of libraries and tools that agents use. A server with
default-image auto upgrades from slim to full automatically, unless you choose another
variant.`,
		Example: "  daytona server images build --variant full",
		Args:    cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if variant != "" && !slices.Contains(recipes.Variants(), variant) {
				return fmt.Errorf("--variant %s is not valid: use slim, desktop or full", variant)
			}
			conf, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if variant != "" {
				if err := defaultimage.ChooseVariant(conf.DataDir, variant); err != nil {
					return fmt.Errorf("save the variant: %w", err)
				}
			}
			ctx, stop := UntilSignal(cmd.Context())
			defer stop()
			return BuildImages(ctx, conf, defaultimage.Standard(), variant, cmd.OutOrStdout())
		},
	}
	b.Flags().StringVar(&variant, "variant", "", "variant to build: slim, desktop or full (default: the current variant, otherwise slim)")
	c.AddCommand(b)
	return c
}

// BuildImages makes the running server build the variant and update the default
// snapshots to it.
func BuildImages(ctx context.Context, c config.Config, of defaultimage.Source, variant string, out io.Writer) error {
	creds, err := asAdministratorOf(c)
	if err != nil {
		return err
	}
	client, err := daytona.NewClientWithConfig(daytona.Config{APIKey: creds.APIKey, APIURL: creds.APIURL})
	if err != nil {
		return err
	}
	names := defaultimage.Names{Source: of}
	if variant == "" {
		if variant, err = present(ctx, client, names); err != nil {
			return err
		}
	}
	image := names.Reference(variant)
	// Build it as a separate snapshot first, so that updating the default snapshots
	// takes no time.
	trial := "daytona-" + variant + "-" + of.Recipe.Version
	if err := replaceSnapshot(ctx, client, daytona.CreateSnapshotParams{Name: trial, Image: image}, out); err != nil {
		return err
	}
	for _, d := range defaultimage.Defaults {
		err := replaceSnapshot(ctx, client, daytona.CreateSnapshotParams{
			Name: d.Name, Image: image, Entrypoint: snapshot.DefaultEntrypoint, General: true,
			Resources: &daytona.Resources{CPU: d.Resources.CPU, Memory: d.Resources.Memory, Disk: d.Resources.Disk},
		}, io.Discard)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s now uses %s\n", d.Name, image)
	}
	return client.Snapshot.Delete(ctx, trial)
}

// present returns the variant of the existing default snapshots.
func present(ctx context.Context, client *daytona.Client, names defaultimage.Names) (string, error) {
	for _, d := range defaultimage.Defaults {
		snap, err := client.Snapshot.Get(ctx, d.Name)
		if notFound := (*daytona.Error)(nil); errors.As(err, &notFound) && notFound.StatusCode == http.StatusNotFound {
			continue
		}
		if err != nil {
			return "", err
		}
		if v, _ := names.Variant(snap.ImageName); v == recipes.Full || v == recipes.Desktop {
			return v, nil
		}
	}
	return recipes.Slim, nil
}

// replaceSnapshot creates a snapshot, or updates the one with its name.
func replaceSnapshot(ctx context.Context, client *daytona.Client, p daytona.CreateSnapshotParams, out io.Writer) error {
	p.Replace = true
	if _, err := client.Snapshot.Create(ctx, p, func(line string) { fmt.Fprintln(out, line) }); err != nil {
		return fmt.Errorf("create snapshot %s: %w", p.Name, err)
	}
	return nil
}
