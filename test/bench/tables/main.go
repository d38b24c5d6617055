// Command tables measures what a store costs that is nearly empty, and one with many
// rows, side by side in one run: by its methods, and by the API over it. All rows are
// one organization's. It prints a table, and fails when a ratio is above -most.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/opendaytona/daytona/test/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
}

type options struct {
	few, many size
	rounds    int
	most      float64
	postgres  bool
	dir       string
}

// size is how many rows there are.
type size struct{ sandboxes, snapshots int }

func run(ctx context.Context) (err error) {
	o := options{few: size{100, 100}}
	flag.IntVar(&o.many.sandboxes, "sandboxes", 100_000, "rows of sandboxes in the full store")
	flag.IntVar(&o.many.snapshots, "snapshots", 20_000, "rows of snapshots in it")
	flag.IntVar(&o.rounds, "rounds", 200, "times that each operation is measured on each store")
	flag.Float64Var(&o.most, "most", 0, "fail when an operation takes more than this many times as long in the full store; 0 is never")
	flag.BoolVar(&o.postgres, "postgres", false, "measure PostgreSQL, which is started for it")
	flag.Parse()
	if o.dir, err = os.MkdirTemp("", "tables-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	at := func(name string) (string, error) { return filepath.Join(o.dir, name), nil }
	if o.postgres {
		server, err := postgres.Start(ctx, true)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		at = func(name string) (string, error) { return server.Create(ctx, name, "template0") }
	}
	var both [2]*filled
	for i, s := range []size{o.few, o.many} {
		database, err := at([]string{"few", "many"}[i])
		if err != nil {
			return err
		}
		begun := time.Now()
		if both[i], err = fill(ctx, database, s); err != nil {
			return fmt.Errorf("fill a store with %d sandboxes: %w", s.sandboxes, err)
		}
		defer func() { err = errors.Join(err, both[i].close()) }()
		fmt.Fprintf(os.Stderr, "%d sandboxes and %d snapshots are in %.0f s\n", s.sandboxes, s.snapshots, time.Since(begun).Seconds())
	}
	return compare(ctx, o, both)
}

// compare measures each operation on both stores in turn, so that what else the
// machine does meets both.
func compare(ctx context.Context, o options, both [2]*filled) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 1, ' ', 0)
	fmt.Fprintf(w, "| operation\t| %d rows\t| %d rows\t| ratio\t|\n| ---\t| ---\t| ---\t| ---\t|\n", o.few.sandboxes, o.many.sandboxes)
	var slow []string
	for _, name := range operationNames {
		var took [2][]time.Duration
		for range o.rounds {
			for i, f := range both {
				d, err := f.operations[name](ctx)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				took[i] = append(took[i], d)
			}
		}
		few, many := median(took[0]), median(took[1])
		ratio := float64(many) / float64(few)
		fmt.Fprintf(w, "| %s\t| %.2f ms\t| %.2f ms\t| %.2f\t|\n", name, few, many, ratio)
		if o.most > 0 && ratio > o.most {
			slow = append(slow, fmt.Sprintf("%s (%.2f)", name, ratio))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(slow) > 0 {
		return fmt.Errorf("more than %.1f times as long with many rows: %q", o.most, slow)
	}
	return nil
}

// median is in milliseconds.
func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds()) / 1000
}
