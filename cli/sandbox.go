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
		Use: "create", Short: "Create and start a sandbox", Args: none,
		Long: `Create a sandbox from a snapshot, or from a Dockerfile that the server builds, wait
until it is started, and print its id.`,
		Example: `  daytona create --snapshot my-snapshot --name web --env PORT=8080 --auto-stop 0
  daytona create --dockerfile ./Dockerfile --cpu 2 --memory 4`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Snapshot, "snapshot", "s", "", "name or id of the snapshot (default: the server's default snapshot)")
	flags.StringVarP(&p.Name, "name", "n", "", "name of the sandbox (default: its id)")
	flags.StringVarP(&p.User, "user", "u", "", "user that runs commands in the sandbox (default: the image's user)")
	flags.StringArrayVarP(&env, "env", "e", nil, "set an environment variable, KEY=VALUE; can be repeated")
	flags.StringArrayVarP(&labels, "label", "l", nil, "set a label, KEY=VALUE; can be repeated")
	flags.BoolVar(&p.Public, "public", false, "let anyone open the sandbox's previews")
	flags.StringVar(&p.Target, "target", "", "region to create the sandbox in")
	flags.IntVar(&autoStop, "auto-stop", 15, "stop after this many minutes without activity; 0 means never")
	flags.IntVar(&autoArchive, "auto-archive", 10080, "archive this many minutes after a stop")
	flags.IntVar(&autoDelete, "auto-delete", -1, "delete this many minutes after a stop; 0 means immediately, -1 never")
	flags.BoolVar(&p.NetworkBlockAll, "network-block-all", false, "block all network access")
	flags.StringVar(&p.NetworkAllowList, "network-allow-list", "", "allow access only to these networks (comma-separated CIDRs)")
	dockerfile := dockerfileFlags(c)
	resourceFlags(c, &r)
	flags.StringVar(&p.DomainAllowList, "domain-allow-list", "", "allow access only to these domains (comma-separated); *.example.com matches all subdomains")
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
			return usageError{errors.New("--snapshot and --dockerfile cannot be used together")}
		case p.Build == nil && given:
			return usageError{errors.New("--cpu, --memory and --disk require --dockerfile: a snapshot defines its own resources")}
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
			stop = spin(a.program.Err, "Creating the sandbox")
		} else {
			p.OnBuildLogs = func(line string) { fmt.Fprintln(a.program.Err, line) }
		}
		s, err := client.Create(ctx, p)
		stop()
		if err != nil {
			if s != nil {
				fmt.Fprintf(a.program.Err, "Sandbox %[1]s was created but is not started: run daytona info %[1]s or daytona delete %[1]s.\n", s.ID)
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
			return nil, usageError{fmt.Errorf("%s %s: use the form KEY=VALUE", flag, v)}
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
	c.Flags().StringArrayVarP(&labels, "label", "l", nil, "list only sandboxes with this label, KEY=VALUE; can be repeated")
	c.Flags().StringVar(&p.Name, "name", "", "list only sandboxes whose name starts with this")
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
	c := &cobra.Command{Use: "info SANDBOX", Short: "Show details of a sandbox", Args: exactly(1, "a sandbox id or name")}
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
	return a.sandboxChange("start", "Start one or more stopped sandboxes", func(ctx context.Context, s *daytona.Sandbox) error { return s.Start(ctx) })
}

func (a *app) stopCommand() *cobra.Command {
	return a.sandboxChange("stop", "Stop one or more sandboxes and keep their disks", func(ctx context.Context, s *daytona.Sandbox) error { return s.Stop(ctx) })
}

func (a *app) sandboxChange(verb, short string, change func(context.Context, *daytona.Sandbox) error) *cobra.Command {
	c := &cobra.Command{Use: verb + " SANDBOX...", Short: short, Args: several("at least one sandbox id or name")}
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
	c := &cobra.Command{Use: "delete SANDBOX...", Aliases: []string{"rm"}, Short: "Delete one or more sandboxes and their disks"}
	c.Flags().BoolVar(&all, "all", false, "delete all sandboxes of the organization")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return usageError{errors.New("requires either sandbox ids or names, or --all")}
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
			return s.WaitUntilDeleted(cmd.Context()) // from then on its name is free
		})
	}
	return c
}
