package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/google/shlex"
	"github.com/spf13/cobra"

	daytona "github.com/opendaytona/daytona/sdk"
)

func (a *app) snapshotPush() *cobra.Command {
	var p daytona.PushSnapshotParams
	var r daytona.Resources
	var entrypoint string
	c := &cobra.Command{
		Use: "push IMAGE --name NAME", Short: "Make a snapshot of a local image", Args: exactly(1, "a local image"),
		Long: `Push sends a local image to the server, as far as it lacks it, and makes a
snapshot of it. IMAGE is an image of docker's or podman's store, a directory in
the OCI image layout, or an archive of docker save, podman save or skopeo, plain
or gzipped. One of several images in an archive is named behind a colon.`,
		Example: `  daytona snapshot push custom-alpine:3.21 --name alpine-minimal --cpu 2 --memory 4 --disk 8
  daytona snapshot push ./app.tar --name my-app --entrypoint "python server.py"`,
	}
	f := formatFlag(c)
	flags := c.Flags()
	flags.StringVarP(&p.Name, "name", "n", "", "the snapshot's name")
	resourceFlags(c, &r)
	flags.StringVarP(&entrypoint, "entrypoint", "e", "", "command that runs in each sandbox (default: the image's)")
	flags.StringVar(&p.RegionID, "region", "", "region (default: your organization's)")
	flags.StringVar(&p.From, "from", "", "where the image is: docker, podman, oci or archive (default: by the form of IMAGE)")
	wait := waitFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if p.Name == "" {
			return usageError{errors.New("--name is needed, for example --name my-snapshot")}
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

// layerView shows the layers of a push: a bar each on a terminal, and elsewhere
// a line when one is done.
type layerView struct {
	w        io.Writer
	terminal bool

	mu     sync.Mutex
	order  []string
	layers map[string]daytona.LayerProgress
	drawn  int // lines on the terminal
	last   time.Time
}

func newLayerView(w io.Writer) *layerView {
	return &layerView{w: w, terminal: isTerminal(w), layers: make(map[string]daytona.LayerProgress)}
}

const redrawPeriod = 100 * time.Millisecond

func (v *layerView) update(p daytona.LayerProgress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, known := v.layers[p.Digest]
	if !known {
		v.order = append(v.order, p.Digest)
	}
	v.layers[p.Digest] = p
	if v.terminal {
		if old.State != p.State || time.Since(v.last) >= redrawPeriod {
			v.draw()
		}
		return
	}
	if old.State != p.State && (p.State == daytona.LayerSent || p.State == daytona.LayerThere) {
		fmt.Fprintln(v.w, layerLine(p))
	}
}

// line prints a line of the log below the layers.
func (v *layerView) line(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drawn = 0 // the bars above stay as they are
	fmt.Fprintln(v.w, text)
}

// end shows the bars as they are at last.
func (v *layerView) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.terminal && v.drawn > 0 {
		v.draw()
	}
}

// draw writes the bars over those that were drawn last.
func (v *layerView) draw() {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	for _, digest := range v.order {
		b.WriteString("\r\x1b[K" + layerLine(v.layers[digest]) + "\n")
	}
	v.drawn, v.last = len(v.order), time.Now()
	fmt.Fprint(v.w, b.String())
}

const barWidth = 30

func layerLine(p daytona.LayerProgress) string {
	_, hex, _ := strings.Cut(p.Digest, ":")
	if len(hex) > 12 {
		hex = hex[:12]
	}
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	switch p.State {
	case daytona.LayerSending:
		done := barWidth
		if p.Size > 0 {
			done = int(min(p.Sent, p.Size) * barWidth / p.Size)
		}
		return fmt.Sprintf("%s: [%s%s] %s of %s", hex, strings.Repeat("=", done), strings.Repeat(" ", barWidth-done), mib(p.Sent), mib(p.Size))
	case daytona.LayerSent:
		return fmt.Sprintf("%s: sent, %s", hex, mib(p.Size))
	case daytona.LayerThere:
		return fmt.Sprintf("%s: there already, %s", hex, mib(p.Size))
	}
	return fmt.Sprintf("%s: waiting, %s", hex, mib(p.Size))
}
