package servercmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/quarantine"
	"github.com/opendaytona/daytona/internal/sandbox"
)

func quarantineCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "quarantine", Short: "Manage disks and images that the database does not contain",
		Long: `Manage disks of sandboxes, copies of disks, and images on this machine that the
database does not contain, because it was lost or is an older copy. The server keeps
them for quarantine-keep. If you restore the right database, the next start puts
everything back in place.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(quarantineList(), quarantineAdopt(), quarantinePurge(), quarantineAll())
	return c
}

// withIndex runs f for the configured data directory.
func withIndex(cmd *cobra.Command, f func(ctx context.Context, c config.Config, x quarantine.Index, out io.Writer) error) error {
	conf, err := config.Load(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	ctx, stop := UntilSignal(cmd.Context())
	defer stop()
	return f(ctx, conf, quarantine.Index{Dir: conf.Below(config.QuarantineName)}, cmd.OutOrStdout())
}

func quarantineList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the contents of the quarantine",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withIndex(cmd, func(_ context.Context, c config.Config, x quarantine.Index, out io.Writer) error {
				all, err := x.List()
				if err != nil {
					return err
				}
				return printQuarantine(out, all, c.QuarantineKeep)
			})
		},
	}
}

func printQuarantine(out io.Writer, all []quarantine.Entry, keep time.Duration) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tID\tNAME\tSINCE\tUNTIL\tIMAGE\tNOTE")
	for _, e := range all {
		until, name := "purged", "-"
		if keep > 0 {
			until = e.Since.Add(keep).Local().Format(time.DateTime)
		}
		if sb, err := sandbox.ParseRecord(e.Record, nil); err == nil && sb.Name != "" {
			name = sb.Name
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Kind, e.ID, name, e.Since.Local().Format(time.DateTime), until, cmp.Or(e.Image, "-"), e.Failed)
	}
	return w.Flush()
}

func quarantineAdopt() *cobra.Command {
	var snapshotName string
	c := &cobra.Command{
		Use: "adopt ID...", Short: "Create stopped sandboxes from disks in quarantine",
		Long: `Create stopped sandboxes from disks in quarantine, in their organization or, if it does
not exist, in the administrator's.`,
		Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return withIndex(cmd, func(ctx context.Context, c config.Config, x quarantine.Index, out io.Writer) error {
				return askAll(ctx, c, x, ids, quarantine.Request{Snapshot: snapshotName}, "adopted", out)
			})
		},
	}
	c.Flags().StringVar(&snapshotName, "snapshot", "", "`name` of the snapshot that the sandboxes were created from, if the list shows no IMAGE")
	return c
}

func quarantinePurge() *cobra.Command {
	var everything bool
	c := &cobra.Command{
		Use: "purge ID...", Short: "Permanently delete entries of the quarantine",
		SilenceUsage: true,
		Args: func(_ *cobra.Command, ids []string) error {
			if everything != (len(ids) == 0) {
				return errors.New("requires either ids or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, ids []string) error {
			return withIndex(cmd, func(ctx context.Context, c config.Config, x quarantine.Index, out io.Writer) error {
				return askAll(ctx, c, x, ids, quarantine.Request{Purge: true}, "purged", out)
			})
		},
	}
	c.Flags().BoolVar(&everything, "all", false, "delete all entries")
	return c
}

func quarantineAll() *cobra.Command {
	return &cobra.Command{
		Use: "all", Short: "Let the next start create a new database",
		Long: `Let the next start continue without the old database. It creates a new one, with a
new administrator and a new API key, stops running sandboxes, and puts everything that
the old database contained into quarantine. No server may be running.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withIndex(cmd, func(_ context.Context, c config.Config, x quarantine.Index, out io.Writer) error {
				dir, err := config.ClaimDataDir(c.DataDir)
				if err != nil {
					return err
				}
				defer dir.Close()
				if err := x.Accept(time.Now()); err != nil {
					return err
				}
				_, err = fmt.Fprintln(out, "The next start of the server uses the database that it finds, or creates a new one.")
				return err
			})
		},
	}
}

// answerPatience is how long a running server may take for the requests.
const answerPatience = 2 * time.Minute

// askAll writes a request for each of the entries, or for all without ids, and waits
// for the results of a running server.
func askAll(ctx context.Context, c config.Config, x quarantine.Index, ids []string, r quarantine.Request, done string, out io.Writer) error {
	entries, err := chosen(x, ids)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := x.Ask(e, r); err != nil {
			return err
		}
	}
	if !served(c.DataDir) {
		_, err := fmt.Fprintf(out, "No server is running: the entries will be %s when it starts.\n", done)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	var failed []string
	for _, e := range entries {
		reason, err := answer(ctx, x, e)
		if err != nil {
			return err
		}
		if reason != "" {
			failed = append(failed, fmt.Sprintf("%s %s: %s", e.Kind, e.ID, reason))
			continue
		}
		if _, err := fmt.Fprintf(out, "%s %s was %s.\n", e.Kind, e.ID, done); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "\n"))
	}
	return nil
}

// chosen finds the entries by their ids or unique prefixes of them.
func chosen(x quarantine.Index, ids []string) ([]quarantine.Entry, error) {
	all, err := x.List()
	if err != nil || len(ids) == 0 {
		return all, err
	}
	var out []quarantine.Entry
	for _, id := range ids {
		var found []quarantine.Entry
		for _, e := range all {
			if id != "" && strings.HasPrefix(e.ID, id) {
				found = append(found, e)
			}
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%d entries of the quarantine begin with %q: run daytona server quarantine list", len(found), id)
		}
		out = append(out, found[0])
	}
	return out, nil
}

// answer waits until a request has been processed, and returns why it failed.
func answer(ctx context.Context, x quarantine.Index, e quarantine.Entry) (reason string, err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for x.Pending(e) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("%s %s: the server has not answered yet: %w", e.Kind, e.ID, ctx.Err())
		}
	}
	all, err := x.List()
	if err != nil {
		return "", err
	}
	for _, left := range all {
		if left.Kind == e.Kind && left.ID == e.ID {
			return left.Failed, nil
		}
	}
	return "", nil
}

// served reports whether a server is running on the data directory.
func served(dir string) bool {
	f, err := os.Open(config.Config{DataDir: dir}.Below(config.LockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}
