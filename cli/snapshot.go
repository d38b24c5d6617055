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
	c := group("snapshot", "Templates of sandboxes", "snapshots")
	c.AddCommand(a.snapshotCreate(), a.snapshotUpdate(), a.snapshotPush(), a.snapshotList(), a.snapshotGet(),
		a.snapshotChange("activate", "Make an inactive snapshot usable again", func(ctx context.Context, s *daytona.SnapshotService, name string) error {
			_, err := s.Activate(ctx, name)
			return err
		}),
		a.snapshotChange("deactivate", "Let the machine forget a snapshot's image until it is needed", func(ctx context.Context, s *daytona.SnapshotService, name string) error {
			return s.Deactivate(ctx, name)
		}),
		a.snapshotChange("delete", "Delete a snapshot; sandboxes made from it go on", func(ctx context.Context, s *daytona.SnapshotService, name string) error {
			return s.Delete(ctx, name)
		}))
	return c
}

func (a *app) snapshotCreate() *cobra.Command {
	var p daytona.CreateSnapshotParams
	var r daytona.Resources
	var entrypoint, source string
	c := &cobra.Command{
		Use: "create NAME --image IMAGE | --dockerfile FILE | --sandbox SANDBOX", Short: "Make a snapshot of an image, pulled or built, or of a sandbox", Args: exactly(1, "the snapshot's name"),
		Example: `  daytona snapshot create my-snapshot --image python:3.11-slim --cpu 2 --memory 4 --disk 8 --region us
  daytona snapshot create my-snapshot --dockerfile ./Dockerfile --context .
  daytona snapshot create my-snapshot --sandbox web`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Image, "image", "i", "", "image, with a tag or digest")
	resourceFlags(c, &r)
	flags.StringVarP(&entrypoint, "entrypoint", "e", "", "command that runs in each sandbox (default: the image's)")
	flags.StringVar(&p.RegionID, "region", "", "region (default: your organization's)")
	flags.StringVar(&source, "sandbox", "", "sandbox to make it of, as it is now; the snapshot has its resources")
	flags.BoolVar(&p.Replace, "replace", false, "update the snapshot of that name, if there is one")
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
			return usageError{errors.New("give one of --image, --dockerfile and --sandbox, for example --image python:3.11-slim")}
		case source != "" && (r != daytona.Resources{} || entrypoint != "" || p.RegionID != "" || p.Replace):
			return usageError{errors.New("--sandbox goes with no other flag: the snapshot has the sandbox's resources, entrypoint and region")}
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

// snapshotSandbox makes a snapshot of a sandbox as it is.
func (a *app) snapshotSandbox(ctx context.Context, client *daytona.Client, f *format, sandbox, name string) error {
	box, err := client.Get(ctx, sandbox)
	if err != nil {
		return err
	}
	stop := spin(a.program.Err, "snapshot of "+sandbox)
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
		Use: "update NAME", Short: "Replace what a snapshot is made of, without a moment in which it is missing", Args: exactly(1, "the snapshot's name or id"),
		Example: `  daytona snapshot update my-snapshot --image python:3.12-slim
  daytona snapshot update my-snapshot --dockerfile ./Dockerfile --memory 8`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Image, "image", "i", "", "new image, with a tag or digest")
	flags.IntVar(&r.CPU, "cpu", 0, "cores")
	flags.IntVar(&r.Memory, "memory", 0, "memory in GiB")
	flags.IntVar(&r.Disk, "disk", 0, "disk in GiB")
	flags.StringVarP(&entrypoint, "entrypoint", "e", "", "command that runs in each sandbox; empty is the image's")
	flags.StringVar(&p.RegionID, "region", "", "region")
	dockerfile := dockerfileFlags(c)
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) (err error) {
		if p.Build, err = dockerfile(); err != nil {
			return err
		}
		if p.Image != "" && p.Build != nil {
			return usageError{errors.New("--image and --dockerfile exclude each other")}
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
	c.Flags().IntVar(&r.CPU, "cpu", 0, "cores (default 1)")
	c.Flags().IntVar(&r.Memory, "memory", 0, "memory in GiB (default 1)")
	c.Flags().IntVar(&r.Disk, "disk", 0, "disk in GiB (default 3)")
}

func checkResources(c *cobra.Command) error {
	for _, name := range []string{"cpu", "memory", "disk"} {
		if n, _ := c.Flags().GetInt(name); c.Flags().Changed(name) && n <= 0 {
			return usageError{fmt.Errorf("--%s must be a whole number above 0", name)}
		}
	}
	return nil
}

func (a *app) snapshotList() *cobra.Command {
	var p daytona.ListSnapshotsParams
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List snapshots, a page at a time", Args: none}
	f := formatFlag(c)
	c.Flags().IntVarP(&p.Page, "page", "p", 1, "which page")
	c.Flags().IntVarP(&p.Limit, "limit", "l", 100, "snapshots a page")
	c.Flags().StringVar(&p.Name, "name", "", "only those with this in their name")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if p.Page < 1 || p.Limit < 1 {
			return usageError{errors.New("--page and --limit begin at 1")}
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
				fmt.Fprintf(w, "Page %d of %d, %d snapshots in all.\n", page.Page, page.TotalPages, page.Total)
			}
		})
	}
	return c
}

// stateOfSnapshot tells of its update too.
func stateOfSnapshot(s *api.Snapshot) string {
	if s.Update == nil {
		return string(s.State)
	}
	return fmt.Sprintf("%s (update: %s)", s.State, s.Update.State)
}

func (a *app) snapshotGet() *cobra.Command {
	c := &cobra.Command{Use: "get NAME", Aliases: []string{"info"}, Short: "Tell all about a snapshot", Args: exactly(1, "a snapshot's name or id")}
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

// snapshotChange is a command that changes snapshots and prints nothing more
// than that it did.
func (a *app) snapshotChange(verb, short string, change func(context.Context, *daytona.SnapshotService, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME...", Short: short, Args: several("a snapshot's name or id"),
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

// each does one thing to several, going on after failures, and returns the first.
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
			return usageError{fmt.Errorf("%s is needed: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

func resources(cpu, memory, disk int) string { return fmt.Sprintf("%d/%d/%d", cpu, memory, disk) }
