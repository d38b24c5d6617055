package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) registryCommand() *cobra.Command {
	c := group("registry", "Manage credentials for private registries", "registries")
	c.AddCommand(a.registryAdd(), a.registryList(), a.registryUpdate(), a.registryDelete())
	return c
}

// passwordHelp documents the sources of a password. The command line is none of
// them, because every user of the machine can read it.
const passwordHelp = `The password is read from standard input with --password-stdin, otherwise from
DAYTONA_REGISTRY_PASSWORD, otherwise from a prompt.`

func (a *app) registryAdd() *cobra.Command {
	var p daytona.CreateRegistryParams
	var fromInput bool
	c := &cobra.Command{
		Use: "add NAME --username USER [--url URL]", Short: "Add credentials for a registry", Args: exactly(1, "a name for the registry"),
		Long: "Add credentials for a registry. Pulls and builds of your organization use them. If\nseveral entries match an image, the longest URL and project wins.\n\n" + passwordHelp,
		Example: `  daytona registry add hub --username me
  daytona registry add github --url ghcr.io --project acme --username me --password-stdin <token
  daytona registry add google --url europe-docker.pkg.dev --username _json_key --password-stdin <key.json`,
	}
	f := formatFlag(c)
	registryFlags(c, &p.URL, &p.Username, &p.Project, &fromInput)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if p.Username == "" {
			return usageError{fmt.Errorf("a user name is required: %s", cmd.UseLine())}
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		p.Name = args[0]
		if p.Password, err = a.password(cmd.Context(), fromInput, "Password of "+p.Username); err != nil {
			return err
		}
		r, err := client.Registry.Create(cmd.Context(), p)
		return a.showRegistry(f, r, err, "added")
	}
	return c
}

func registryFlags(c *cobra.Command, url, username, project *string, fromInput *bool) {
	flags := c.Flags()
	flags.StringVar(url, "url", "", "host of the registry, with optional port and path (default docker.io)")
	flags.StringVarP(username, "username", "u", "", "user name")
	flags.StringVar(project, "project", "", "use only for images below this path, such as acme or acme/tools")
	flags.BoolVar(fromInput, "password-stdin", false, "read the password or token from standard input")
}

// showRegistry prints the result. Credentials that do not work are only a warning.
func (a *app) showRegistry(f *format, r *api.DockerRegistry, err error, done string) error {
	if err != nil {
		return err
	}
	if r.Warning != "" {
		fmt.Fprintln(a.program.Err, "Warning: "+r.Warning)
	}
	return f.print(a.program.Out, r, func(w io.Writer) { fmt.Fprintf(w, "Registry %s is %s.\n", r.Name, done) })
}

func (a *app) registryList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List registries with stored credentials", Args: none}
	f := formatFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		all, err := client.Registry.List(cmd.Context())
		if err != nil {
			return err
		}
		return f.print(a.program.Out, all, func(w io.Writer) {
			var lines [][]string
			for _, r := range all {
				lines = append(lines, []string{r.Name, first(r.URL, "docker.io"), r.Project, r.Username, age(r.UpdatedAt)})
			}
			rows(w, []string{"Name", "URL", "Project", "User", "Changed"}, lines)
		})
	}
	return c
}

func (a *app) registryUpdate() *cobra.Command {
	var name, url, username, project string
	var fromInput bool
	c := &cobra.Command{
		Use: "update NAME", Short: "Update a registry's credentials", Args: exactly(1, "a registry name or id"),
		Long: `Update a registry's credentials. Flags that you omit leave their values unchanged.
Without flags, the command changes the password. Changing the URL's host requires the
password too. Running pulls use the new credentials.

` + passwordHelp,
		Example: `  aws ecr get-login-password | daytona registry update ecr --password-stdin`,
	}
	f := formatFlag(c)
	c.Flags().StringVar(&name, "name", "", "new name")
	registryFlags(c, &url, &username, &project, &fromInput)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		r, err := client.Registry.Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var p daytona.UpdateRegistryParams
		others := false
		for flag, to := range map[string]struct {
			field **string
			value *string
		}{"name": {&p.Name, &name}, "url": {&p.URL, &url}, "username": {&p.Username, &username}, "project": {&p.Project, &project}} {
			if cmd.Flags().Changed(flag) {
				*to.field, others = to.value, true
			}
		}
		if fromInput || !others || registryPassword() != "" {
			password, err := a.password(cmd.Context(), fromInput, "New password of "+first(username, r.Username))
			if err != nil {
				return err
			}
			p.Password = &password
		}
		r, err = client.Registry.Update(cmd.Context(), r.ID, p)
		return a.showRegistry(f, r, err, "updated")
	}
	return c
}

func (a *app) registryDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete registry credentials", Args: several("at least one registry name or id"),
		Long: "Delete registry credentials. Images that were pulled with them stay.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			return a.each(args, "Registry", past["delete"], func(name string) error {
				r, err := client.Registry.Get(cmd.Context(), name)
				if err != nil {
					return err
				}
				return client.Registry.Delete(cmd.Context(), r.ID)
			})
		},
	}
}
