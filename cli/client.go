package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	daytona "github.com/opendaytona/daytona/sdk"
)

// app holds what all commands share: the program and the global flags.
type app struct {
	program Program
	apiURL  string
	apiKey  string
	profile string
}

func (a *app) addFlags(f *pflag.FlagSet) {
	f.StringVar(&a.apiURL, "api-url", "", "URL of the server's API")
	f.StringVar(&a.apiKey, "api-key", "", "API key")
	f.StringVar(&a.profile, "profile", "", "name of the profile to use instead of the current one")
}

// credentials are a server and the API key to use there.
type credentials struct {
	APIURL string `json:"apiUrl" yaml:"api-url"`
	APIKey string `json:"apiKey" yaml:"api-key"`

	source string // where they were found, for messages
}

// errNoServer is returned when no server is configured.
var errNoServer = &daytona.Error{StatusCode: 401, Code: "NO_API_KEY", Message: "No server is configured: run daytona login --api-url URL --api-key KEY, or set DAYTONA_API_URL and DAYTONA_API_KEY."}

// credentials looks in the flags, the environment, the profile, and the server on
// this machine, in this order. It never combines a server with the key of another
// one: whoever names a server must also name a key, unless a profile has both.
func (a *app) credentials() (credentials, error) {
	asked := credentials{APIURL: a.apiURL, APIKey: a.apiKey}
	if a.profile == "" {
		asked = credentials{APIURL: first(a.apiURL, os.Getenv("DAYTONA_API_URL")), APIKey: first(a.apiKey, os.Getenv("DAYTONA_API_KEY"))}
		if asked.APIKey != "" {
			asked.APIURL = first(asked.APIURL, daytona.DefaultAPIURL)
			return asked, nil
		}
	}
	return a.complete(asked)
}

// complete fills in what is missing in asked from the profile or the server on this
// machine.
func (a *app) complete(asked credentials) (credentials, error) {
	known, err := a.remembered()
	if err != nil {
		return known, err
	}
	if asked.APIKey == "" && asked.APIURL != "" && strings.TrimRight(asked.APIURL, "/") != known.APIURL {
		return known, &daytona.Error{StatusCode: 401, Code: "NO_API_KEY", Message: fmt.Sprintf("No API key is configured for %s: set --api-key or DAYTONA_API_KEY, or run daytona login.", asked.APIURL)}
	}
	known.APIURL, known.APIKey = first(asked.APIURL, known.APIURL), first(asked.APIKey, known.APIKey)
	return known, nil
}

// remembered returns the profile of --profile, the current profile, or the server
// on this machine.
func (a *app) remembered() (credentials, error) {
	profiles, err := readProfiles()
	if err != nil {
		return credentials{}, err
	}
	name := first(a.profile, profiles.Current)
	if p, ok := profiles.Profiles[name]; ok {
		p.source = "profile " + name
		return p, nil
	}
	if a.profile != "" {
		return credentials{}, usageError{fmt.Errorf("profile %q does not exist: run daytona profile list", a.profile)}
	}
	return localServer()
}

// defaultDataDir is the default data directory of a server.
const defaultDataDir = "/var/lib/daytona"

// localServer reads the credentials that the server on this machine stores for root.
func localServer() (c credentials, err error) {
	path := filepath.Join(first(os.Getenv("DAYTONA_DATA_DIR"), defaultDataDir), "credentials.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, errNoServer
	}
	if errors.Is(err, os.ErrPermission) {
		return c, &daytona.Error{StatusCode: 403, Message: fmt.Sprintf("Only root can read the API key of the server on this machine (%s): use sudo, or run daytona login with your own key.", path)}
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	c.source = "the server on this machine, " + path
	return c, nil
}

// client returns a client that uses the credentials.
func (a *app) client() (*daytona.Client, error) {
	c, err := a.credentials()
	if err != nil {
		return nil, err
	}
	return daytona.NewClientWithConfig(daytona.Config{
		APIKey: c.APIKey, APIURL: c.APIURL, OrganizationID: os.Getenv("DAYTONA_ORGANIZATION_ID"),
		Target: os.Getenv("DAYTONA_TARGET"), UserAgent: "daytona-cli/" + a.program.Version,
	})
}

// sandbox returns the sandbox with the given id or name.
func (a *app) sandbox(ctx context.Context, idOrName string) (*daytona.Sandbox, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, idOrName)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// exactly is cobra.ExactArgs with a usage error that says what is required.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("requires %s: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

// group returns a command that only has subcommands.
func group(name, short string, aliases ...string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Aliases: aliases,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q: run daytona %s --help", args[0], name)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: %s", args[0], cmd.UseLine())}
	}
	return nil
}
