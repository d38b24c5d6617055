package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) createCommand() *cobra.Command {
	var p daytona.CreateParams
	var env, labels []string
	var autoStop, autoArchive, autoDelete int
	var r daytona.Resources
	c := &cobra.Command{
		Use: "create", Short: "Make a sandbox and start it", Args: none,
		Example: `  daytona create --snapshot my-snapshot --name web --env PORT=8080 --auto-stop 0
  daytona create --dockerfile ./Dockerfile --cpu 2 --memory 4`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Snapshot, "snapshot", "s", "", "snapshot's name or id (default: the server's)")
	flags.StringVarP(&p.Name, "name", "n", "", "name (default: the id)")
	flags.StringVarP(&p.User, "user", "u", "", "who runs in it (default: the image's)")
	flags.StringArrayVarP(&env, "env", "e", nil, "variable KEY=VALUE; repeat for more")
	flags.StringArrayVarP(&labels, "label", "l", nil, "label KEY=VALUE; repeat for more")
	flags.BoolVar(&p.Public, "public", false, "anyone may open its previews")
	flags.StringVar(&p.Target, "target", "", "region")
	flags.IntVar(&autoStop, "auto-stop", 15, "minutes without activity until it stops; 0 is never")
	flags.IntVar(&autoArchive, "auto-archive", 10080, "minutes after stop until it is archived")
	flags.IntVar(&autoDelete, "auto-delete", -1, "minutes after stop until it is deleted; 0 at once, -1 never")
	flags.BoolVar(&p.NetworkBlockAll, "network-block-all", false, "reach nothing outside")
	flags.StringVar(&p.NetworkAllowList, "network-allow-list", "", "reach only these networks, separated by commas")
	dockerfile := dockerfileFlags(c)
	resourceFlags(c, &r)
	flags.StringVar(&p.DomainAllowList, "domain-allow-list", "", "reach only these domains, separated by commas; *.example.com is all below it")
	wait := waitFlag(c)
	c.RunE = func(*cobra.Command, []string) (err error) {
		if p.Build, err = dockerfile(); err != nil {
			return err
		}
		if err := checkResources(c); err != nil {
			return err
		}
		switch given := r != (daytona.Resources{}); {
		case p.Build != nil && p.Snapshot != "":
			return usageError{errors.New("give --snapshot or --dockerfile, not both")}
		case p.Build == nil && given:
			return usageError{errors.New("--cpu, --memory and --disk are for --dockerfile: a snapshot has its own")}
		case given:
			p.Resources = &r
		}
		if p.Env, err = pairs("--env", env); err != nil {
			return err
		}
		if p.Labels, err = pairs("--label", labels); err != nil {
			return err
		}
		for name, to := range map[string]struct {
			value *int
			field **int
		}{"auto-stop": {&autoStop, &p.AutoStopInterval}, "auto-archive": {&autoArchive, &p.AutoArchiveInterval}, "auto-delete": {&autoDelete, &p.AutoDeleteInterval}} {
			if flags.Changed(name) {
				*to.field = to.value
			}
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := wait()
		defer cancel()
		stop := func() {}
		if p.Build == nil {
			stop = spin(a.program.Err, "Making the sandbox")
		} else {
			p.OnBuildLogs = func(line string) { fmt.Fprintln(a.program.Err, line) }
		}
		s, err := client.Create(ctx, p)
		stop()
		if err != nil {
			if s != nil {
				fmt.Fprintf(a.program.Err, "The sandbox is %s: see daytona info, or daytona delete it.\n", s.ID)
			}
			return err
		}
		return f.print(a.program.Out, s.Sandbox, func(w io.Writer) { fmt.Fprintln(w, s.ID) })
	}
	return c
}

func pairs(flag string, values []string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(values))
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			return nil, usageError{fmt.Errorf("%s %s: write it as KEY=VALUE", flag, v)}
		}
		m[key] = value
	}
	return m, nil
}

func (a *app) listCommand() *cobra.Command {
	var labels []string
	var p daytona.ListParams
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List sandboxes", Args: none}
	f := formatFlag(c)
	c.Flags().StringArrayVarP(&labels, "label", "l", nil, "only those with this label KEY=VALUE; repeat for more")
	c.Flags().StringVar(&p.Name, "name", "", "only those whose name begins so")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if p.Labels, err = pairs("--label", labels); err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		all := []api.SandboxSummary{}
		for s, err := range client.List(cmd.Context(), p) {
			if err != nil {
				return err
			}
			all = append(all, s.SandboxSummary)
		}
		return f.print(a.program.Out, all, func(w io.Writer) {
			var lines [][]string
			for _, s := range all {
				lines = append(lines, []string{s.ID, s.Name, string(s.State), s.Snapshot, resources(s.CPU, s.Memory, s.Disk), ageOf(s.CreatedAt)})
			}
			rows(w, []string{"ID", "Name", "State", "Snapshot", "CPU/Memory/Disk", "Created"}, lines)
		})
	}
	return c
}

func (a *app) infoCommand() *cobra.Command {
	c := &cobra.Command{Use: "info SANDBOX", Short: "Tell all about a sandbox", Args: exactly(1, "a sandbox's id or name")}
	f := formatFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.sandbox(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return f.print(a.program.Out, s.Sandbox, func(w io.Writer) {
			labels := make([]string, 0, len(s.Labels))
			for k, v := range s.Labels {
				labels = append(labels, k+"="+v)
			}
			sort.Strings(labels)
			fields(w, "ID", s.ID, "Name", s.Name, "State", string(s.State), "Reason", s.ErrorReason, "Snapshot", s.Snapshot, "User", s.User,
				"CPU", strconv.Itoa(s.CPU), "Memory", fmt.Sprintf("%d GiB", s.Memory), "Disk", fmt.Sprintf("%d GiB", s.Disk),
				"Labels", strings.Join(labels, ", "), "Region", s.Target, "Auto-stop", minutes(s.AutoStopInterval, 0),
				"Auto-delete", minutes(s.AutoDeleteInterval, -1), "Created", ageOf(s.CreatedAt), "Last activity", ageOf(s.LastActivityAt))
		})
	}
	return c
}

func minutes(n, never int) string {
	if n == never {
		return "never"
	}
	return fmt.Sprintf("%d min", n)
}

func (a *app) startCommand() *cobra.Command {
	return a.sandboxChange("start", "Start stopped sandboxes", func(ctx context.Context, s *daytona.Sandbox) error { return s.Start(ctx) })
}

func (a *app) stopCommand() *cobra.Command {
	return a.sandboxChange("stop", "Stop sandboxes; their disks stay", func(ctx context.Context, s *daytona.Sandbox) error { return s.Stop(ctx) })
}

func (a *app) sandboxChange(verb, short string, change func(context.Context, *daytona.Sandbox) error) *cobra.Command {
	c := &cobra.Command{Use: verb + " SANDBOX...", Short: short, Args: several("a sandbox's id or name")}
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := wait()
		defer cancel()
		return a.each(args, "Sandbox", past[verb], func(name string) error {
			s, err := client.Get(ctx, name)
			if err != nil {
				return err
			}
			return change(ctx, s)
		})
	}
	return c
}

func (a *app) deleteCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "delete SANDBOX...", Aliases: []string{"rm"}, Short: "Delete sandboxes with their disks"}
	c.Flags().BoolVar(&all, "all", false, "all sandboxes of the organization")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return usageError{errors.New("name sandboxes, or use --all")}
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		if all {
			for s, err := range client.List(cmd.Context(), daytona.ListParams{}) {
				if err != nil {
					return err
				}
				args = append(args, s.ID)
			}
		}
		return a.each(args, "Sandbox", past["delete"], func(name string) error {
			s, err := client.Get(cmd.Context(), name)
			if err != nil {
				return err
			}
			if err := s.Delete(cmd.Context()); err != nil {
				return err
			}
			return s.WaitUntilDeleted(cmd.Context()) // its name is free then
		})
	}
	return c
}
