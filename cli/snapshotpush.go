package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dustin/go-humanize"
	"github.com/google/shlex"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) snapshotPush() *cobra.Command {
	var p daytona.PushSnapshotParams
	var r daytona.Resources
	var entrypoint string
	c := &cobra.Command{
		Use: "push IMAGE --name NAME", Short: "Create a snapshot from a local image", Args: exactly(1, "a local image"),
		Long: `Push a local image to the server and create a snapshot from it. Only layers that the
server lacks are sent.

IMAGE is an image in the store of Docker or Podman, an OCI image layout directory, or
an archive of docker save, podman save or skopeo, plain or gzipped. To select one of
several images in an archive or directory, append a colon and its name.`,
		Example: `  daytona snapshot push custom-alpine:3.21 --name alpine-minimal --cpu 2 --memory 4 --disk 8
  daytona snapshot push ./app.tar --name my-app --entrypoint "python server.py"`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Name, "name", "n", "", "name of the snapshot")
	resourceFlags(c, &r)
	flags.StringVarP(&entrypoint, "entrypoint", "e", "", "command that each sandbox runs (default: the image's entrypoint)")
	flags.StringVar(&p.RegionID, "region", "", "region (default: your organization's default region)")
	flags.StringVar(&p.From, "from", "", "source of the image: docker, podman, oci or archive (default: detected from IMAGE)")
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if p.Name == "" {
			return usageError{errors.New("--name is required, for example --name my-snapshot")}
		}
		switch p.From {
		case "", daytona.FromDocker, daytona.FromPodman, daytona.FromOCI, daytona.FromArchive:
		default:
			return usageError{fmt.Errorf("--from %s: it must be docker, podman, oci or archive", p.From)}
		}
		if err := checkResources(c); err != nil {
			return err
		}
		words, err := shlex.Split(entrypoint)
		if err != nil {
			return usageError{fmt.Errorf("--entrypoint: %w", err)}
		}
		p.Image, p.Resources, p.Entrypoint = args[0], &r, words
		client, err := a.client()
		if err != nil {
			return err
		}
		ctx, cancel := wait()
		defer cancel()
		layers := newLayerView(a.program.Err)
		s, err := client.Snapshot.Push(ctx, p, daytona.PushOptions{OnLayer: layers.update, OnLogs: layers.line})
		layers.end()
		if err != nil {
			return err
		}
		return f.print(a.program.Out, s, func(w io.Writer) { fmt.Fprintf(w, "Snapshot %s is %s.\n", s.Name, s.State) })
	}
	return c
}

// layerView shows the layers of a push: one bar each on a terminal, otherwise one
// line for each layer when it is done.
type layerView struct {
	w    io.Writer
	bars *mpb.Progress // nil unless w is a terminal

	mu     sync.Mutex
	layers map[string]*layer
}

// layer is one of them, read while it is drawn.
type layer struct {
	bar  *mpb.Bar // nil without bars
	last atomic.Pointer[daytona.LayerProgress]
}

func newLayerView(w io.Writer) *layerView {
	v := &layerView{w: w, layers: make(map[string]*layer)}
	if isTerminal(w) {
		v.draw()
	}
	return v
}

func (v *layerView) draw(options ...mpb.ContainerOption) {
	v.bars = mpb.New(append(options, mpb.WithOutput(v.w))...)
}

func (v *layerView) update(p daytona.LayerProgress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.layers[p.Digest]
	if l == nil {
		l = &layer{}
		v.layers[p.Digest] = l
	}
	old := l.last.Swap(&p)
	done := p.State == daytona.LayerSent || p.State == daytona.LayerThere
	if v.bars == nil {
		if done && (old == nil || old.State != p.State) {
			fmt.Fprintf(v.w, "%s: %s\n", shortDigest(p), layerState(p))
		}
		return
	}
	if l.bar == nil {
		l.bar = v.bars.New(p.Size, mpb.BarStyle().Filler("=").Tip("=").Padding(" "),
			mpb.BarWidth(32), mpb.BarFillerClearOnComplete(),
			mpb.PrependDecorators(decor.Name(shortDigest(p)+":")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return layerState(*l.last.Load()) })))
	}
	l.bar.SetCurrent(min(p.Sent, p.Size-1)) // it is complete when the server has said so
	if done {
		l.bar.SetTotal(p.Size, true)
	}
}

// line prints a line of the log above the bars.
func (v *layerView) line(text string) {
	if v.bars != nil {
		fmt.Fprintln(v.bars, text)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(v.w, text)
}

// end leaves the bars as they are.
func (v *layerView) end() {
	if v.bars == nil {
		return
	}
	for _, l := range v.layers {
		l.bar.Abort(false)
	}
	v.bars.Wait()
}

func shortDigest(p daytona.LayerProgress) string {
	_, hex, _ := strings.Cut(p.Digest, ":")
	return hex[:min(len(hex), 12)]
}

func layerState(p daytona.LayerProgress) string {
	size := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	switch p.State {
	case daytona.LayerSending:
		return size(p.Sent) + " of " + size(p.Size)
	case daytona.LayerSent:
		return "sent, " + size(p.Size)
	case daytona.LayerThere:
		return "already exists, " + size(p.Size)
	}
	return "waiting, " + size(p.Size)
}
