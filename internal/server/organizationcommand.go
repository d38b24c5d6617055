package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/opendaytona/daytona/api"
)

func organizationCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "organization", Short: "The organizations of the running server",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use: "create NAME", Short: "Create an organization with an owner and an API key",
			Long: `Create an organization on the running server, with a user who owns it and an API
key of theirs, which is shown only now. The organization has sandboxes, snapshots,
registries and quotas of its own, and sees nothing of the others'.

It asks the server as its administrator, by the key in credentials.json of the
data directory, which root reads.`,
			Args: cobra.ExactArgs(1), SilenceUsage: true,
			RunE: asAdministrator(func(ctx context.Context, creds credentials, args []string, out io.Writer) error {
				var made api.AdminOrganizationCreated
				if err := creds.ask(ctx, http.MethodPost, "/admin/organizations", api.AdminCreateOrganization{Name: args[0]}, &made); err != nil {
					return fmt.Errorf("create organization %q: %w", args[0], err)
				}
				_, err := fmt.Fprintf(out, "Organization %s (%s)\n\nThe API key of its owner, shown only now:\n\n  export DAYTONA_API_URL=%s\n  export DAYTONA_API_KEY=%s\n",
					made.Organization.Name, made.Organization.ID, creds.APIURL, made.APIKey)
				return err
			}),
		},
		&cobra.Command{
			Use: "list", Short: "List the organizations",
			Args: cobra.NoArgs, SilenceUsage: true,
			RunE: asAdministrator(func(ctx context.Context, creds credentials, _ []string, out io.Writer) error {
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

// asAdministrator runs do with the credentials of the data directory.
func asAdministrator(do func(ctx context.Context, creds credentials, args []string, out io.Writer) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		config, err := load(cmd.Flags(), os.Environ())
		if err != nil {
			return err
		}
		creds, err := administrator(config)
		if err != nil {
			return err
		}
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		return do(ctx, creds, args, cmd.OutOrStdout())
	}
}

// administrator reads the credentials that the server keeps for root.
func administrator(c Config) (credentials, error) {
	path := c.below(CredentialsName)
	creds, err := readCredentials(path)
	if err != nil {
		return credentials{}, err
	}
	if creds.APIKey == "" {
		return credentials{}, fmt.Errorf("%s is not there: start the server, and name its directory by --data-dir", path)
	}
	return creds, nil
}

// adminPatience bounds one request of a command to the server.
const adminPatience = 30 * time.Second

// ask makes a request to the server in the administrator's name and decodes the
// answer. The server does the work, and not the command on its database: a
// database has one writer, of one version.
func (c credentials) ask(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
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
		return fmt.Errorf("the server does not answer, start it first: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		var e api.Error
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil || e.Message == "" {
			return fmt.Errorf("the server answers %s", res.Status)
		}
		return fmt.Errorf("the server answers: %s", e.Message)
	}
	if err := json.NewDecoder(res.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}
