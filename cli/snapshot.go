package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/google/shlex"
	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) snapshotCommand() *cobra.Command {
	c := group("snapshot", "Manage snapshots, the templates for sandboxes", "snapshots")
	c.AddCommand(a.snapshotCreate(), a.snapshotUpdate(), a.snapshotPush(), a.snapshotList(), a.snapshotGet(),
		a.snapshotChange("activate", "Activate one or more inactive snapshots", func(ctx context.Context, s *daytona.SnapshotService, name string) error {
			_, err := s.Activate(ctx, name)
			return err
		}),
		a.snapshotChange("deactivate", "Deactivate one or more snapshots and free their images", func(ctx context.Context, s *daytona.SnapshotService, name string) error {
			return s.Deactivate(ctx, name)
		}),
		a.snapshotChange("delete", "Delete one or more snapshots; their sandboxes keep running", func(ctx context.Context, s *daytona.SnapshotService, name string) error {
			return s.Delete(ctx, name)
		}))
	return c
}

func (a *app) snapshotCreate() *cobra.Command {
	var p daytona.CreateSnapshotParams
	var r daytona.Resources
	var entrypoint, source string
	c := &cobra.Command{
		Use: "create NAME --image IMAGE | --dockerfile FILE | --sandbox SANDBOX", Short: "Create a snapshot from an image, a Dockerfile or a sandbox", Args: exactly(1, "a name for the snapshot"),
		Long: `Create a snapshot from an image that the server pulls, from a Dockerfile that it
builds, or from the disk of a sandbox, stream the log, and wait until the snapshot is
active.`,
		Example: `  daytona snapshot create my-snapshot --image python:3.11-slim --cpu 2 --memory 4 --disk 8 --region us
  daytona snapshot create my-snapshot --dockerfile ./Dockerfile --context .
  daytona snapshot create my-snapshot --sandbox web`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Image, "image", "i", "", "image reference with a tag or digest")
	resourceFlags(c, &r)
	flags.StringVarP(&entrypoint, "entrypoint", "e", "", "command that each sandbox runs (default: the image's entrypoint)")
	flags.StringVar(&p.RegionID, "region", "", "region (default: your organization's default region)")
	flags.StringVar(&source, "sandbox", "", "sandbox whose current disk and resources the snapshot gets")
	flags.BoolVar(&p.Replace, "replace", false, "update the snapshot if it already exists")
	dockerfile := dockerfileFlags(c)
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) (err error) {
		if p.Build, err = dockerfile(); err != nil {
			return err
		}
		sources := 0
		for _, given := range []bool{p.Image != "", p.Build != nil, source != ""} {
			if given {
				sources++
			}
		}
		switch {
		case sources != 1:
			return usageError{errors.New("exactly one of --image, --dockerfile and --sandbox is required, for example --image python:3.11-slim")}
		case source != "" && (r != daytona.Resources{} || entrypoint != "" || p.RegionID != "" || p.Replace):
			return usageError{errors.New("--sandbox cannot be combined with flags for resources, entrypoint, region or --replace: the snapshot gets those of the sandbox")}
		}
		if err := checkResources(c); err != nil {
			return err
		}
		words, err := shlex.Split(entrypoint)
		if err != nil {
			return usageError{fmt.Errorf("--entrypoint: %w", err)}
		}
		p.Name, p.Resources, p.Entrypoint = args[0], &r, words
		client, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := wait()
		defer cancel()
		if source != "" {
			return a.snapshotSandbox(ctx, client, f, source, args[0])
		}
		s, err := client.Snapshot.Create(ctx, p, func(line string) { fmt.Fprintln(a.program.Err, line) })
		if err != nil {
			return err
		}
		return f.print(a.program.Out, s, func(w io.Writer) { fmt.Fprintf(w, "Snapshot %s is %s.\n", s.Name, s.State) })
	}
	return c
}

// snapshotSandbox creates a snapshot from the current state of a sandbox.
func (a *app) snapshotSandbox(ctx context.Context, client *daytona.Client, f *format, sandbox, name string) error {
	box, err := client.Get(ctx, sandbox)
	if err != nil {
		return err
	}
	stop := spin(a.program.Err, "Creating a snapshot of "+sandbox)
	err = box.CreateSnapshot(ctx, name)
	stop()
	if err != nil {
		return err
	}
	s, err := client.Snapshot.Get(ctx, name)
	if err != nil {
		return err
	}
	return f.print(a.program.Out, s, func(w io.Writer) { fmt.Fprintf(w, "Snapshot %s is %s.\n", s.Name, s.State) })
}

func (a *app) snapshotUpdate() *cobra.Command {
	var p daytona.UpdateSnapshotParams
	var r daytona.Resources
	var entrypoint string
	c := &cobra.Command{
		Use: "update NAME", Short: "Update a snapshot in place", Args: exactly(1, "a snapshot name or id"),
		Long: `Update the image, resources or entrypoint of a snapshot. Until the new content is
ready, new sandboxes use the old one; then the server swaps the two. If the update
fails, the snapshot stays as it was. Existing sandboxes do not change.`,
		Example: `  daytona snapshot update my-snapshot --image python:3.12-slim
  daytona snapshot update my-snapshot --dockerfile ./Dockerfile --memory 8`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Image, "image", "i", "", "new image reference with a tag or digest")
	flags.IntVar(&r.CPU, "cpu", 0, "number of cores (default: unchanged)")
	flags.IntVar(&r.Memory, "memory", 0, "memory in GiB (default: unchanged)")
	flags.IntVar(&r.Disk, "disk", 0, "disk in GiB (default: unchanged)")
	flags.StringVarP(&entrypoint, "entrypoint", "e", "", "command that each sandbox runs; empty means the image's entrypoint")
	flags.StringVar(&p.RegionID, "region", "", "new region")
	dockerfile := dockerfileFlags(c)
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) (err error) {
		if p.Build, err = dockerfile(); err != nil {
			return err
		}
		if p.Image != "" && p.Build != nil {
			return usageError{errors.New("--image and --dockerfile cannot be used together")}
		}
		if err := checkResources(c); err != nil {
			return err
		}
		if flags.Changed("entrypoint") {
			words, err := shlex.Split(entrypoint)
			if err != nil {
				return usageError{fmt.Errorf("--entrypoint: %w", err)}
			}
			p.Entrypoint = append([]string{}, words...)
		}
		p.Resources = &r
		client, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := wait()
		defer cancel()
		s, err := client.Snapshot.Update(ctx, args[0], p, func(line string) { fmt.Fprintln(a.program.Err, line) })
		if err != nil {
			return err
		}
		return f.print(a.program.Out, s, func(w io.Writer) { fmt.Fprintf(w, "Snapshot %s is updated.\n", s.Name) })
	}
	return c
}

func resourceFlags(c *cobra.Command, r *daytona.Resources) {
	c.Flags().IntVar(&r.CPU, "cpu", 0, "number of cores (default 1)")
	c.Flags().IntVar(&r.Memory, "memory", 0, "memory in GiB (default 1)")
	c.Flags().IntVar(&r.Disk, "disk", 0, "disk in GiB (default 3)")
}

func checkResources(c *cobra.Command) error {
	for _, name := range []string{"cpu", "memory", "disk"} {
		if n, _ := c.Flags().GetInt(name); c.Flags().Changed(name) && n <= 0 {
			return usageError{fmt.Errorf("--%s must be an integer above 0", name)}
		}
	}
	return nil
}

func (a *app) snapshotList() *cobra.Command {
	var p daytona.ListSnapshotsParams
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List snapshots", Args: none}
	f := formatFlag(c)
	c.Flags().IntVarP(&p.Page, "page", "p", 1, "page to show, starting at 1")
	c.Flags().IntVarP(&p.Limit, "limit", "l", 100, "number of snapshots per page")
	c.Flags().StringVar(&p.Name, "name", "", "list only snapshots whose name contains this")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if p.Page < 1 || p.Limit < 1 {
			return usageError{errors.New("--page and --limit must be at least 1")}
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		page, err := client.Snapshot.List(cmd.Context(), p)
		if err != nil {
			return err
		}
		return f.print(a.program.Out, page.Items, func(w io.Writer) {
			var lines [][]string
			for _, s := range page.Items {
				lines = append(lines, []string{s.Name, stateOfSnapshot(&s), s.ImageName, resources(s.CPU, s.Memory, s.Disk), age(s.CreatedAt)})
			}
			rows(w, []string{"Name", "State", "Image", "CPU/Memory/Disk", "Created"}, lines)
			if page.TotalPages > 1 {
				fmt.Fprintf(w, "Page %d of %d, %d snapshots in total.\n", page.Page, page.TotalPages, page.Total)
			}
		})
	}
	return c
}

// stateOfSnapshot returns the state, with that of a pending update.
func stateOfSnapshot(s *api.Snapshot) string {
	if s.Update == nil {
		return string(s.State)
	}
	return fmt.Sprintf("%s (update: %s)", s.State, s.Update.State)
}

func (a *app) snapshotGet() *cobra.Command {
	c := &cobra.Command{Use: "get NAME", Aliases: []string{"info"}, Short: "Show details of a snapshot", Args: exactly(1, "a snapshot name or id")}
	f := formatFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		s, err := client.Snapshot.Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return f.print(a.program.Out, s, func(w io.Writer) { describeSnapshot(w, s) })
	}
	return c
}

func describeSnapshot(w io.Writer, s *api.Snapshot) {
	size, reason, used := "", "", ""
	if s.Size != nil {
		size = strconv.FormatFloat(*s.Size, 'f', 2, 64) + " GiB"
	}
	if s.ErrorReason != nil {
		reason = *s.ErrorReason
	}
	if s.LastUsedAt != nil {
		used = age(*s.LastUsedAt)
	}
	update := ""
	if s.Update != nil {
		update = string(s.Update.State)
		if s.Update.ErrorReason != nil {
			update += ": " + *s.Update.ErrorReason
		}
	}
	fields(w, "Name", s.Name, "ID", s.ID, "State", string(s.State), "Reason", reason, "Update", update, "Image", s.ImageName, "Pinned", s.Ref, "Size", size,
		"CPU", strconv.Itoa(s.CPU), "Memory", fmt.Sprintf("%d GiB", s.Memory), "Disk", fmt.Sprintf("%d GiB", s.Disk),
		"Entrypoint", strings.Join(s.Entrypoint, " "), "Regions", strings.Join(s.RegionIDs, ", "), "Created", age(s.CreatedAt), "Last used", used)
}

// snapshotChange returns a command that changes snapshots and reports each one.
func (a *app) snapshotChange(verb, short string, change func(context.Context, *daytona.SnapshotService, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME...", Short: short, Args: several("at least one snapshot name or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			return a.each(args, "Snapshot", past[verb], func(name string) error { return change(cmd.Context(), client.Snapshot, name) })
		},
	}
}

var past = map[string]string{"activate": "activated", "deactivate": "deactivated", "delete": "deleted", "start": "started", "stop": "stopped"}

// each calls do for each name, continues after failures, and returns the first one.
func (a *app) each(names []string, noun, done string, do func(string) error) error {
	var failure error
	for _, name := range names {
		stop := spin(a.program.Err, noun+" "+name)
		err := do(name)
		stop()
		switch {
		case err == nil:
			fmt.Fprintf(a.program.Err, "%s %s %s.\n", noun, name, done)
		case failure == nil:
			failure = err
		default:
			fmt.Fprintf(a.program.Err, "Error: %s %s: %s\n", strings.ToLower(noun), name, describe(err))
		}
	}
	return failure
}

func several(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("requires %s: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

func resources(cpu, memory, disk int) string { return fmt.Sprintf("%d/%d/%d", cpu, memory, disk) }
