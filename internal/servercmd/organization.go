package servercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/api"
)

func organizationCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "organization", Short: "Manage the organizations of the running server",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	withContents := false
	remove := &cobra.Command{
		Use: "delete NAME", Short: "Delete an organization",
		Long: `Delete an organization by name or id, with its API keys, its registry credentials, and
its users who belong to no other organization. Running requests of the keys are ended.
An organization that has sandboxes or snapshots is deleted only with --with-contents.

Pushed images and uploads are deleted when they expire.`,
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: asAdministrator(func(ctx context.Context, creds administrator, args []string, out io.Writer) error {
			o, err := creds.organization(ctx, args[0])
			if err != nil {
				return err
			}
			path := "/admin/organizations/" + url.PathEscape(o.ID)
			if withContents {
				path += "?withContents=true"
			}
			if err := creds.askWithin(ctx, deletionPatience, http.MethodDelete, path, nil, nil); err != nil {
				return fmt.Errorf("delete organization %q: %w", o.Name, err)
			}
			_, err = fmt.Fprintf(out, "Deleted organization %s (%s).\n", o.Name, o.ID)
			return err
		}),
	}
	remove.Flags().BoolVar(&withContents, "with-contents", false, "also delete its sandboxes, snapshots and warm pools")
	c.AddCommand(
		remove,
		&cobra.Command{
			Use: "create NAME", Short: "Create an organization with an owner and an API key",
			Long: `Create an organization on the running server, with a user who owns it, and print the
owner's API key, which is not shown again. The organization has its own sandboxes,
snapshots, registry credentials and quotas, and cannot see those of others.

The command uses the administrator's key in credentials.json of the data directory,
which only root can read.`,
			Example: "  daytona server organization create team-blue",
			Args:    cobra.ExactArgs(1), SilenceUsage: true,
			RunE: asAdministrator(func(ctx context.Context, creds administrator, args []string, out io.Writer) error {
				var made api.AdminOrganizationCreated
				if err := creds.ask(ctx, http.MethodPost, "/admin/organizations", api.AdminCreateOrganization{Name: args[0]}, &made); err != nil {
					return fmt.Errorf("create organization %q: %w", args[0], err)
				}
				_, err := fmt.Fprintf(out, "Created organization %s (%s).\n\nThe owner's API key, which is not shown again:\n\n  export DAYTONA_API_URL=%s\n  export DAYTONA_API_KEY=%s\n",
					made.Organization.Name, made.Organization.ID, creds.APIURL, made.APIKey)
				return err
			}),
		},
		&cobra.Command{
			Use: "list", Short: "List organizations",
			Args: cobra.NoArgs, SilenceUsage: true,
			RunE: asAdministrator(func(ctx context.Context, creds administrator, _ []string, out io.Writer) error {
				var all []api.Organization
				if err := creds.ask(ctx, http.MethodGet, "/admin/organizations", nil, &all); err != nil {
					return fmt.Errorf("list organizations: %w", err)
				}
				w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tNAME\tCREATED")
				for _, o := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\n", o.ID, o.Name, o.CreatedAt.Format(time.RFC3339))
				}
				return w.Flush()
			}),
		},
	)
	return c
}

// organization returns the organization with the given name or id.
func (c administrator) organization(ctx context.Context, nameOrID string) (found api.Organization, err error) {
	var all []api.Organization
	if err := c.ask(ctx, http.MethodGet, "/admin/organizations", nil, &all); err != nil {
		return found, fmt.Errorf("find organization %q: %w", nameOrID, err)
	}
	for _, o := range all {
		if o.ID == nameOrID || o.Name == nameOrID {
			return o, nil
		}
	}
	return found, fmt.Errorf("organization %q does not exist: run daytona server organization list", nameOrID)
}

// asAdministrator runs do with the credentials of the data directory.
func asAdministrator(do func(ctx context.Context, creds administrator, args []string, out io.Writer) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		conf, err := config.Load(cmd.Flags(), os.Environ())
		if err != nil {
			return err
		}
		creds, err := asAdministratorOf(conf)
		if err != nil {
			return err
		}
		ctx, stop := UntilSignal(cmd.Context())
		defer stop()
		return do(ctx, creds, args, cmd.OutOrStdout())
	}
}

// administrator sends requests to the running server with the administrator's key.
type administrator struct{ config.Credentials }

// asAdministratorOf reads the credentials that the server stores for root.
func asAdministratorOf(c config.Config) (administrator, error) {
	path := c.Below(config.CredentialsName)
	creds, err := config.ReadCredentials(path)
	if err != nil {
		return administrator{}, err
	}
	if creds.APIKey == "" {
		return administrator{}, fmt.Errorf("%s does not exist: start the server, and set --data-dir to its data directory", path)
	}
	return administrator{creds}, nil
}

// How long a command waits for one request to the server.
const (
	adminPatience    = 30 * time.Second
	deletionPatience = time.Hour // of all that an organization has
)

// ask sends a request to the server and decodes the response. The commands do not
// open the database themselves, because it has one writer, of one version.
func (c administrator) ask(ctx context.Context, method, path string, body, answer any) error {
	return c.askWithin(ctx, adminPatience, method, path, body, answer)
}

// askWithin is ask with a timeout; answer is nil if the response has no body.
func (c administrator) askWithin(ctx context.Context, patience time.Duration, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.APIURL+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.APIKey)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("cannot reach the server, is it running? %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		var e api.Error
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil || e.Message == "" {
			return fmt.Errorf("the server answers %s", res.Status)
		}
		return fmt.Errorf("the server answers: %s", e.Message)
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}
