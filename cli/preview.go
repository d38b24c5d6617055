package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// seconds is a time as people write it: 90s, 1h, or a number of seconds.
type seconds time.Duration

// String implements pflag.Value.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Type implements pflag.Value.
func (s *seconds) Type() string { return "time" }

// Set implements pflag.Value.
func (s *seconds) Set(text string) error {
	if n, err := strconv.Atoi(text); err == nil {
		text = fmt.Sprint(n, "s")
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return fmt.Errorf("%q is no time of at least a second: write it such as 1h, 90s or 3600", text)
	}
	*s = seconds(d)
	return nil
}

func (a *app) previewURLCommand() *cobra.Command {
	var port int
	var lasting bool
	expires := seconds(time.Hour)
	c := &cobra.Command{
		Use: "preview-url SANDBOX --port PORT", Aliases: []string{"preview"}, Short: "Print a URL that opens a port of a sandbox", Args: exactly(1, "a sandbox's id or name"),
		Long: `Print a URL that opens a port of a sandbox to everybody who has it, for a time.

With --lasting print the one that stays: if the sandbox is not public, requests for
it carry the token that -f json prints, as the header X-Daytona-Preview-Token, or an
API key as Authorization: Bearer.`,
		Example: `  daytona preview-url web --port 3000
  daytona preview-url web --port 3000 --expires 8h`,
	}
	f := formatFlag(c)
	c.Flags().IntVarP(&port, "port", "p", 0, "the port that the sandbox's server listens on")
	c.Flags().VarP(&expires, "expires", "e", "how long the URL works, such as 8h or 3600")
	c.Flags().BoolVar(&lasting, "lasting", false, "print the URL that stays, without a token")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case port < 1 || port > 65535:
			return usageError{errors.New("give --port, from 1 to 65535")}
		case lasting && cmd.Flags().Changed("expires"):
			return usageError{errors.New("give --lasting or --expires, not both")}
		}
		s, err := a.sandbox(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if lasting {
			link, err := s.GetPreviewLink(cmd.Context(), port)
			if err != nil {
				return err
			}
			return f.print(a.program.Out, link, func(w io.Writer) { fmt.Fprintln(w, link.URL) })
		}
		signed, err := s.CreateSignedPreviewURL(cmd.Context(), port, time.Duration(expires))
		if err != nil {
			return err
		}
		return f.print(a.program.Out, signed, func(w io.Writer) { fmt.Fprintln(w, signed.URL) })
	}
	return c
}
