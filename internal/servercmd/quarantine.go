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
		Use: "quarantine", Short: "What is on this machine and not in the database",
		Long: `What is on this machine and not in the database: disks of sandboxes, copies of
disks, images. The database was lost, or is an older copy. Nothing of it is
deleted before quarantine-keep is over. With the right database restored, all of it
is as it was at the next start.`,
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
		Use: "list", Short: "List what is in quarantine",
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
		Use: "adopt ID...", Short: "Make sandboxes of disks: stopped, in their organization or else the administrator's",
		Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return withIndex(cmd, func(ctx context.Context, c config.Config, x quarantine.Index, out io.Writer) error {
				return askAll(ctx, c, x, ids, quarantine.Request{Snapshot: snapshotName}, "adopted", out)
			})
		},
	}
	c.Flags().StringVar(&snapshotName, "snapshot", "", "the `name` of the snapshot that they were made from, where that is not known (see IMAGE of the list)")
	return c
}

func quarantinePurge() *cobra.Command {
	var everything bool
	c := &cobra.Command{
		Use: "purge ID...", Short: "Delete what is in quarantine for good",
		SilenceUsage: true,
		Args: func(_ *cobra.Command, ids []string) error {
			if everything != (len(ids) == 0) {
				return errors.New("name ids, or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, ids []string) error {
			return withIndex(cmd, func(ctx context.Context, c config.Config, x quarantine.Index, out io.Writer) error {
				return askAll(ctx, c, x, ids, quarantine.Request{Purge: true}, "purged", out)
			})
		},
	}
	c.Flags().BoolVar(&everything, "all", false, "all that there is")
	return c
}

func quarantineAll() *cobra.Command {
	return &cobra.Command{
		Use: "all", Short: "Let the next start go on without the old database",
		Long: `Let the next start go on without the old database: it makes a new one, with a
new administrator and a new API key, and puts everything into quarantine that the
old one knew. Sandboxes that run are stopped. No server may be running.`,
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
				_, err = fmt.Fprintln(out, "The next start of the server goes on with the database that it finds, or a new one.")
				return err
			})
		},
	}
}

// answerPatience is how long a running server gets for what is asked.
const answerPatience = 2 * time.Minute

// askAll asks for the entries of these ids, of all without any, and waits for
// what a running server says.
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
		_, err := fmt.Fprintf(out, "No server is running: what was asked for is %s when it starts.\n", done)
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
		if _, err := fmt.Fprintf(out, "%s %s is %s.\n", e.Kind, e.ID, done); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "\n"))
	}
	return nil
}

// chosen finds the entries by their ids or the beginnings of them.
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
			return nil, fmt.Errorf("%d entries of the quarantine begin with %q: see `daytona server quarantine list`", len(found), id)
		}
		out = append(out, found[0])
	}
	return out, nil
}

// answer waits until a request is met, and returns why it was not.
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

// served reports whether a server has the data directory.
func served(dir string) bool {
	f, err := os.Open(config.Config{DataDir: dir}.Below(config.LockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}
