package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// seconds is a flag for a duration such as 90s or 1h, or a number of seconds.
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
		return fmt.Errorf("%q is not a duration of at least a second: use a value such as 1h, 90s or 3600", text)
	}
	*s = seconds(d)
	return nil
}

func (a *app) previewURLCommand() *cobra.Command {
	var port int
	var lasting bool
	expires := seconds(time.Hour)
	c := &cobra.Command{
		Use: "preview-url SANDBOX --port PORT", Aliases: []string{"preview"}, Short: "Print a preview URL for a port of a sandbox", Args: exactly(1, "a sandbox id or name"),
		Long: `Print a signed URL that opens a port of a sandbox for everybody who has the URL, until
it expires.

With --lasting, print the permanent URL, which has no token. If the sandbox is not
public, send the token that -f json prints in the header X-Daytona-Preview-Token, or
an API key as Authorization: Bearer.`,
		Example: `  daytona preview-url web --port 3000
  daytona preview-url web --port 3000 --expires 8h`,
	}
	f := formatFlag(c)
	c.Flags().IntVarP(&port, "port", "p", 0, "port that the program in the sandbox listens on")
	c.Flags().VarP(&expires, "expires", "e", "how long the URL is valid, such as 8h or 3600 (seconds)")
	c.Flags().BoolVar(&lasting, "lasting", false, "print the permanent URL, without a token")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case port < 1 || port > 65535:
			return usageError{errors.New("--port is required and must be between 1 and 65535")}
		case lasting && cmd.Flags().Changed("expires"):
			return usageError{errors.New("--lasting and --expires cannot be used together")}
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
