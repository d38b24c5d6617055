package quarantine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/engine"
)

// Keeper is the quarantine of a server.
type Keeper struct {
	Index
	Keep   time.Duration // how long things stay; 0 is until somebody purges them
	Disks  Disks
	Images Images
	Rows   Rows
	// Adopt makes a sandbox of a disk that the keeper has; its row only.
	Adopt func(ctx context.Context, id string, record []byte, snapshot string) (image string, err error)
	Clock clock.WithTicker
	Log   *slog.Logger
}

// Disks are the engine's.
type Disks interface {
	engine.Custodian
	List(ctx context.Context) ([]engine.Status, error)
	Captures(ctx context.Context) ([]string, error)
}

// Images is what the keeper needs of the image store.
type Images interface {
	Hold(ctx context.Context, owner, digest string) error
	Release(ctx context.Context, owner string) error
	Owners(ctx context.Context) (map[string]string, error)
}

// Rows is what the database knows.
type Rows interface {
	// Sandboxes tells the image that each sandbox stands on, by id.
	Sandboxes(ctx context.Context) (map[string]string, error)
	// Captures tells the contents that may have a capture.
	Captures(ctx context.Context) (map[string]bool, error)
	// Owns reports whether an owner of an image has its row. One that holds for
	// sandboxes and has none left is what a crash left, which the rows' services
	// free, but unknown when something is lost.
	Owns(ctx context.Context, lost bool) (func(owner, image string) bool, error)
	// KeepImage holds an image for the sandboxes that stand on it.
	KeepImage(ctx context.Context, image string) error
	// ImageOf is the image that a disk's record tells of, "" for none.
	ImageOf(record []byte) string
}

const (
	ownerPrefix = "quarantine/"

	// stopGrace is what sandboxes get to end in which nobody knows.
	stopGrace   = 10 * time.Second
	stopsAtOnce = 16

	// watchPeriod is how often requests are looked for.
	watchPeriod = time.Second
)

func (e Entry) owner() string { return ownerPrefix + string(e.Kind) + "/" + e.ID }

func (e Entry) disk() engine.Disk { return engine.Disk{ID: e.ID, Capture: e.Kind == KindCapture} }

// Gather compares the machine with the rows: what no row knows is put into
// quarantine, and what a row knows again leaves it. It must be done before
// anybody works by the rows. regressed says that the database is another one
// than the last time, or an older copy of it.
func (k *Keeper) Gather(ctx context.Context, regressed bool) error {
	if err := k.gather(ctx, regressed); err != nil {
		return fmt.Errorf("put what the database does not know into quarantine: %w", err)
	}
	return nil
}

func (k *Keeper) gather(ctx context.Context, regressed bool) error {
	if err := k.giveBack(ctx); err != nil {
		return err
	}
	disks, err := k.gatherDisks(ctx)
	if err != nil {
		return err
	}
	images, err := k.gatherImages(ctx, regressed || disks > 0)
	if err != nil {
		return err
	}
	if disks+images == 0 && !regressed {
		return nil
	}
	k.Log.Warn("THE DATABASE DOES NOT KNOW ALL THAT IS HERE: it was lost, or is an older copy; what it does not know is in quarantine, see `daytona server quarantine list`",
		"disks", disks, "images", images, "stays", k.Keep)
	return k.put(Entry{Kind: KindFiles, ID: "all", Since: k.Clock.Now().UTC()})
}

// giveBack ends the quarantine of what a row knows again: a newer copy of the
// database was restored, or a crash came while a disk was adopted.
func (k *Keeper) giveBack(ctx context.Context) error {
	all, err := k.List()
	if err != nil || len(all) == 0 {
		return err
	}
	sandboxes, err := k.Rows.Sandboxes(ctx)
	if err != nil {
		return err
	}
	captures, err := k.Rows.Captures(ctx)
	if err != nil {
		return err
	}
	owns, err := k.Rows.Owns(ctx, true)
	if err != nil {
		return err
	}
	for _, e := range all {
		switch image, known := sandboxes[e.ID]; {
		case e.Kind == KindDisk && known:
			err = k.release(ctx, e, image)
		case e.Kind == KindCapture && captures[e.ID]:
			err = k.release(ctx, e, "")
		case e.Kind == KindImage && owns(e.ID, e.Image):
			if err = k.Images.Hold(ctx, e.ID, e.Image); err == nil {
				err = k.forget(ctx, e)
			}
		}
		if err != nil {
			return fmt.Errorf("give %s %s back: %w", e.Kind, e.ID, err)
		}
	}
	return nil
}

// release brings a disk back whose row is there.
func (k *Keeper) release(ctx context.Context, e Entry, image string) error {
	if err := k.Disks.Restore(ctx, e.disk()); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	if image != "" && image == e.Image {
		if err := k.Rows.KeepImage(ctx, image); err != nil {
			return err
		}
	}
	return k.forget(ctx, e)
}

// forget ends an entry, whose image is somebody else's by now or nobody's.
func (k *Keeper) forget(ctx context.Context, e Entry) error {
	if err := k.Images.Release(ctx, e.owner()); err != nil {
		return err
	}
	k.Log.Info("left quarantine", "kind", e.Kind, "id", e.ID)
	return k.remove(e)
}

// gatherDisks returns how many it has put aside.
func (k *Keeper) gatherDisks(ctx context.Context) (int, error) {
	sandboxes, err := k.Rows.Sandboxes(ctx)
	if err != nil {
		return 0, err
	}
	captures, err := k.Rows.Captures(ctx)
	if err != nil {
		return 0, err
	}
	found, err := k.Disks.List(ctx)
	if err != nil {
		return 0, err
	}
	names, err := k.Disks.Captures(ctx)
	if err != nil {
		return 0, err
	}
	var unknown []Entry
	for _, st := range found {
		if _, known := sandboxes[st.ID]; !known {
			unknown = append(unknown, Entry{Kind: KindDisk, ID: st.ID})
		}
	}
	for _, name := range names {
		if !captures[name] {
			unknown = append(unknown, Entry{Kind: KindCapture, ID: name})
		}
	}
	// A crash may have come after a disk was moved, or taken the index.
	aside, err := k.Disks.Aside(ctx)
	if err != nil {
		return 0, err
	}
	for _, d := range aside {
		e := Entry{Kind: KindDisk, ID: d.ID}
		if d.Capture {
			e.Kind = KindCapture
		}
		if !k.Has(e.Kind, e.ID) {
			unknown = append(unknown, e)
		}
	}
	var work errgroup.Group
	work.SetLimit(stopsAtOnce)
	for _, e := range unknown {
		work.Go(func() error { return k.setAside(ctx, e) })
	}
	return len(unknown), work.Wait()
}

func (k *Keeper) setAside(ctx context.Context, e Entry) error {
	record, err := k.Disks.Record(ctx, e.disk())
	if err != nil {
		k.Log.Error("read the record of a disk that no row knows: it can only be adopted with a snapshot that is named", "kind", e.Kind, "id", e.ID, "err", err)
	}
	e.Since = k.Clock.Now().UTC()
	if record != nil {
		e.Record = record
		e.Image = k.Rows.ImageOf(record)
	}
	if e.Image != "" {
		if err := k.Images.Hold(ctx, e.owner(), e.Image); err != nil {
			k.Log.Warn("the image of a disk that no row knows is not here", "disk", e.ID, "image", e.Image, "err", err)
			e.Image = ""
		}
	}
	if err := k.put(e); err != nil {
		return err
	}
	k.Log.Warn("no row knows this disk: it is in quarantine", "kind", e.Kind, "id", e.ID)
	err = k.Disks.SetAside(ctx, e.disk(), stopGrace)
	switch {
	case err == nil, errors.Is(err, engine.ErrNotFound):
		return nil
	case ctx.Err() != nil:
		return err
	}
	// One that does not end keeps nobody waiting: no service touches what it does
	// not know.
	k.Log.Error("put a disk that no row knows aside, which the next start of the server tries again", "kind", e.Kind, "id", e.ID, "err", err)
	return nil
}

// gatherImages moves what unknown owners hold to owners of the quarantine.
func (k *Keeper) gatherImages(ctx context.Context, lost bool) (n int, err error) {
	owners, err := k.Images.Owners(ctx)
	if err != nil {
		return 0, err
	}
	owns, err := k.Rows.Owns(ctx, lost)
	if err != nil {
		return 0, err
	}
	for owner, digest := range owners {
		if strings.HasPrefix(owner, ownerPrefix) || owns(owner, digest) {
			continue
		}
		e := Entry{Kind: KindImage, ID: owner, Image: digest, Since: k.Clock.Now().UTC()}
		if err := k.Images.Hold(ctx, e.owner(), digest); err != nil {
			return n, err
		}
		if err := k.put(e); err != nil {
			return n, err
		}
		k.Log.Warn("no row knows who holds this image: it is in quarantine", "owner", owner, "image", digest)
		if err := k.Images.Release(ctx, owner); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Run meets requests, and deletes what has been here for its time, until ctx
// ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := k.Clock.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		if err := k.Tend(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error("tend the quarantine", "err", err)
		}
		select {
		case <-tick.C():
		case <-ctx.Done():
			return nil
		}
	}
}

// Tend does what is asked for and due now.
func (k *Keeper) Tend(ctx context.Context) error {
	all, err := k.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range all {
		r, err := k.asked(e)
		switch {
		case err != nil:
		case r != nil:
			err = k.meet(ctx, e, *r)
		case k.Due(e, k.Clock.Now()):
			k.Log.Warn("its time in quarantine is over: deleting it", "kind", e.Kind, "id", e.ID, "since", e.Since)
			err = k.purge(ctx, e)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Due reports whether an entry has been here for its time.
func (k *Keeper) Due(e Entry, now time.Time) bool {
	return k.Keep > 0 && now.Sub(e.Since) >= k.Keep
}

func (k *Keeper) meet(ctx context.Context, e Entry, r Request) error {
	var err error
	if r.Purge {
		err = k.purge(ctx, e)
	} else {
		err = k.adopt(ctx, e, r.Snapshot)
	}
	if err == nil || ctx.Err() != nil {
		return err // what is interrupted is gone on with
	}
	e.Failed = err.Error()
	return errors.Join(fmt.Errorf("%s %s: %w", e.Kind, e.ID, err), k.put(e), k.drop(e))
}

// adopt makes a sandbox of a disk, which is back in its place before anybody can
// start the sandbox. Of a crash in between either gatherDisks finds a disk without
// a row and the request is met again, or giveBack finds the row and does the rest.
func (k *Keeper) adopt(ctx context.Context, e Entry, snapshot string) error {
	if e.Kind != KindDisk {
		return fmt.Errorf("only a sandbox's disk can be adopted, and this is of kind %s", e.Kind)
	}
	if snapshot == "" && e.Image == "" && e.Record != nil {
		return errors.New("the image that it stands on is not on this machine any more: name a snapshot of the same image")
	}
	if err := k.Disks.Restore(ctx, e.disk()); err != nil {
		return err
	}
	image, err := k.Adopt(ctx, e.ID, e.Record, snapshot)
	if err != nil {
		return errors.Join(err, k.Disks.SetAside(context.WithoutCancel(ctx), e.disk(), 0))
	}
	if err := k.Rows.KeepImage(ctx, image); err != nil {
		return err
	}
	return k.forget(ctx, e)
}

func (k *Keeper) purge(ctx context.Context, e Entry) error {
	if slices.Contains([]Kind{KindDisk, KindCapture}, e.Kind) {
		if err := k.Disks.DeleteAside(ctx, e.disk()); err != nil {
			return err
		}
	}
	return k.forget(ctx, e)
}
