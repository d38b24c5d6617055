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

// app is what the commands share: the flags of all of them.
type app struct {
	program Program
	apiURL  string
	apiKey  string
	profile string
}

func (a *app) addFlags(f *pflag.FlagSet) {
	f.StringVar(&a.apiURL, "api-url", "", "URL of the server's API")
	f.StringVar(&a.apiKey, "api-key", "", "API key")
	f.StringVar(&a.profile, "profile", "", "profile to use instead of the current one")
}

// credentials say which server to talk to and as whom.
type credentials struct {
	APIURL string `json:"apiUrl" yaml:"api-url"`
	APIKey string `json:"apiKey" yaml:"api-key"`

	source string // where they are from, for people
}

// errNoServer says that no server is known.
var errNoServer = &daytona.Error{StatusCode: 401, Code: "NO_API_KEY", Message: "No server is known: run daytona login --api-url URL --api-key KEY, or set DAYTONA_API_URL and DAYTONA_API_KEY."}

// credentials finds them: flags, then the environment, then the profile, then
// the server on this machine. A key is never sent to another server than the one
// it belongs to: who names a server must name a key, unless a profile has it.
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

// complete adds to what was asked for what is remembered.
func (a *app) complete(asked credentials) (credentials, error) {
	known, err := a.remembered()
	if err != nil {
		return known, err
	}
	if asked.APIKey == "" && asked.APIURL != "" && strings.TrimRight(asked.APIURL, "/") != known.APIURL {
		return known, &daytona.Error{StatusCode: 401, Code: "NO_API_KEY", Message: fmt.Sprintf("No key is known for %s: give --api-key or DAYTONA_API_KEY, or log in to it by daytona login.", asked.APIURL)}
	}
	known.APIURL, known.APIKey = first(asked.APIURL, known.APIURL), first(asked.APIKey, known.APIKey)
	return known, nil
}

// remembered is the profile that was asked for, or the current one, or the
// server on this machine.
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
		return credentials{}, usageError{fmt.Errorf("there is no profile %q: see daytona profile list", a.profile)}
	}
	return localServer()
}

// defaultDataDir is where a server keeps everything unless it is told otherwise.
const defaultDataDir = "/var/lib/daytona"

// localServer reads what the server on this machine keeps for root.
func localServer() (c credentials, err error) {
	path := filepath.Join(first(os.Getenv("DAYTONA_DATA_DIR"), defaultDataDir), "credentials.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, errNoServer
	}
	if errors.Is(err, os.ErrPermission) {
		return c, &daytona.Error{StatusCode: 403, Message: fmt.Sprintf("The key of this machine's server is readable for root only (%s): use sudo, or daytona login with a key of your own.", path)}
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

// client connects as the credentials say.
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

// sandbox connects and finds a sandbox by id or name.
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

// exactly is cobra.ExactArgs with an error that counts as wrong usage.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s is needed: %s", what, cmd.UseLine())}
		}
		return nil
	}
}

// group is a command that only has others below it.
func group(name, short string, aliases ...string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Aliases: aliases,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q: see daytona %s --help", args[0], name)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is one too many: %s", args[0], cmd.UseLine())}
	}
	return nil
}
