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
		Use: "images", Short: "The image of the default snapshots",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var variant string
	b := &cobra.Command{
		Use: "build", Short: "Build a variant of the default image and make the default snapshots of it",
		Long: `Build a variant of the default image on the running server, and make
daytona-small, daytona-medium and daytona-large of it. They keep their old image
until the new one is built; sandboxes made before go on as they are. Those that
were deleted are made again.

slim has Python, Node.js, git and language servers; full adds the libraries and
tools that agents ask for, several GiB of them. A server whose default-image is
auto goes on from slim to full by itself, unless --variant slim was asked for.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if variants := []string{"", recipes.Slim, recipes.Full}; !slices.Contains(variants, variant) {
				return fmt.Errorf("--variant %s is not valid: use slim or full", variant)
			}
			conf, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if variant != "" {
				if err := defaultimage.ChooseVariant(conf.DataDir, variant); err != nil {
					return fmt.Errorf("remember the variant: %w", err)
				}
			}
			ctx, stop := UntilSignal(cmd.Context())
			defer stop()
			return BuildImages(ctx, conf, defaultimage.Standard(), variant, cmd.OutOrStdout())
		},
	}
	b.Flags().StringVar(&variant, "variant", "", "what to build: slim or full (default: what there is of them, else slim)")
	c.AddCommand(b)
	return c
}

// BuildImages asks the running server to build the variant and to make the
// default snapshots of it.
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
	// It is built under a name of its own, so that the others wait for nothing
	// afterwards.
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
		fmt.Fprintf(out, "%s is made of %s now\n", d.Name, image)
	}
	return client.Snapshot.Delete(ctx, trial)
}

// present is the variant that the default snapshots are of, as far as they are
// there.
func present(ctx context.Context, client *daytona.Client, names defaultimage.Names) (string, error) {
	for _, d := range defaultimage.Defaults {
		snap, err := client.Snapshot.Get(ctx, d.Name)
		if notFound := (*daytona.Error)(nil); errors.As(err, &notFound) && notFound.StatusCode == http.StatusNotFound {
			continue
		}
		if err != nil {
			return "", err
		}
		if v, _ := names.Variant(snap.ImageName); v == recipes.Full {
			return v, nil
		}
	}
	return recipes.Slim, nil
}

// replaceSnapshot makes a snapshot in place of the one that has its name.
func replaceSnapshot(ctx context.Context, client *daytona.Client, p daytona.CreateSnapshotParams, out io.Writer) error {
	p.Replace = true
	if _, err := client.Snapshot.Create(ctx, p, func(line string) { fmt.Fprintln(out, line) }); err != nil {
		return fmt.Errorf("make snapshot %s: %w", p.Name, err)
	}
	return nil
}
