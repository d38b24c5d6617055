package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	daytona "github.com/opendaytona/daytona/sdk"

	"github.com/opendaytona/daytona/internal/durable"
)

// profiles is the file that lists the servers the user has logged in to.
type profiles struct {
	Current  string                 `yaml:"current"`
	Profiles map[string]credentials `yaml:"profiles"`
}

func profilesFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the profiles: %w", err)
	}
	return filepath.Join(dir, "daytona", "config.yaml"), nil
}

func readProfiles() (p profiles, err error) {
	p.Profiles = map[string]credentials{}
	path, err := profilesFile()
	if err != nil {
		return p, nil // no home, no profiles
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = yaml.Unmarshal(b, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read %s: %w", path, err)
	}
	if p.Profiles == nil { // the file is empty
		p.Profiles = map[string]credentials{}
	}
	return p, nil
}

// write replaces the file. It contains keys, so only its owner can read it.
func (p profiles) write() error {
	path, err := profilesFile()
	if err != nil {
		return err
	}
	b, err := yaml.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	if err := durable.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	return nil
}

func (a *app) loginCommand() *cobra.Command {
	return &cobra.Command{
		Use: "login --api-url URL --api-key KEY", Short: "Log in to a server", Args: none,
		Long: `Check an API key against a server and save both as a profile, which becomes the
current one. --profile names it (default "default").

With --api-key -, the key is read from standard input. Without --api-key, it is read
from DAYTONA_API_KEY.`,
		Example: "  daytona login --api-url https://daytona.example.com/api --api-key - <key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			key := first(a.apiKey, os.Getenv("DAYTONA_API_KEY"))
			if key == "-" {
				b, err := io.ReadAll(io.LimitReader(a.program.In, 4096))
				if err != nil {
					return fmt.Errorf("read the key: %w", err)
				}
				key = strings.TrimSpace(string(b))
			}
			if key == "" {
				return usageError{errors.New("an API key is required: daytona login --api-url URL --api-key KEY")}
			}
			c := credentials{APIURL: strings.TrimRight(first(a.apiURL, os.Getenv("DAYTONA_API_URL"), daytona.DefaultAPIURL), "/"), APIKey: key}
			client, err := daytona.NewClientWithConfig(daytona.Config{APIKey: c.APIKey, APIURL: c.APIURL})
			if err != nil {
				return err
			}
			if _, err := client.Snapshot.List(cmd.Context(), daytona.ListSnapshotsParams{Limit: 1}); err != nil {
				return err
			}
			p, err := readProfiles()
			if err != nil {
				return err
			}
			name := first(a.profile, "default")
			p.Profiles[name], p.Current = c, name
			if err := p.write(); err != nil {
				return err
			}
			fmt.Fprintf(a.program.Err, "Logged in to %s (profile %s).\n", c.APIURL, name)
			return nil
		},
	}
}

func (a *app) profileCommand() *cobra.Command {
	c := group("profile", "Manage the servers that you have logged in to")
	list := &cobra.Command{Use: "list", Short: "List profiles", Args: none}
	f := formatFlag(list)
	list.RunE = func(*cobra.Command, []string) error {
		p, err := readProfiles()
		if err != nil {
			return err
		}
		type profile struct {
			Name    string `json:"name"`
			APIURL  string `json:"apiUrl"`
			Current bool   `json:"current"`
		}
		all := []profile{}
		for name, c := range p.Profiles {
			all = append(all, profile{name, c.APIURL, name == p.Current})
		}
		slices.SortFunc(all, func(a, b profile) int { return strings.Compare(a.Name, b.Name) })
		return f.print(a.program.Out, all, func(w io.Writer) {
			var lines [][]string
			for _, p := range all {
				mark := ""
				if p.Current {
					mark = "*"
				}
				lines = append(lines, []string{p.Name, p.APIURL, mark})
			}
			rows(w, []string{"Name", "API URL", "Current"}, lines)
		})
	}
	change := func(use, short string, edit func(*profiles, string)) *cobra.Command {
		return &cobra.Command{Use: use + " NAME", Short: short, Args: exactly(1, "a profile name"), RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfiles()
			if err != nil {
				return err
			}
			if _, ok := p.Profiles[args[0]]; !ok {
				return usageError{fmt.Errorf("profile %q does not exist: run daytona profile list", args[0])}
			}
			edit(&p, args[0])
			return p.write()
		}}
	}
	c.AddCommand(list,
		change("use", "Switch to a profile", func(p *profiles, name string) { p.Current = name }),
		change("delete", "Delete a profile", func(p *profiles, name string) {
			delete(p.Profiles, name)
			if p.Current == name {
				p.Current = ""
			}
		}))
	return c
}

func (a *app) envCommand() *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "Print the server's URL and the API key as shell variables", Args: none,
		Long: `Print DAYTONA_API_URL and DAYTONA_API_KEY as shell commands: those of the current
profile or, without a profile, of the server on this machine. The command ignores the
variables' current values. It prints the source to standard error.`,
		Example: `  eval "$(daytona env)"`,
		RunE: func(*cobra.Command, []string) error {
			// Ignore the variables that this command sets: they may be another server's.
			c := credentials{APIURL: a.apiURL, APIKey: a.apiKey, source: "the flags"}
			if c.APIURL == "" || c.APIKey == "" {
				var err error
				if c, err = a.complete(c); err != nil {
					return err
				}
			}
			fmt.Fprintf(a.program.Err, "%s (%s)\n", c.APIURL, c.source)
			fmt.Fprintf(a.program.Out, "export DAYTONA_API_URL=%s\nexport DAYTONA_API_KEY=%s\n", shellescape.Quote(c.APIURL), shellescape.Quote(c.APIKey))
			return nil
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: none, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(a.program.Out, "daytona "+a.program.Version)
		return err
	}}
}
