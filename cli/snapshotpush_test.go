package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vbauerster/mpb/v8"

	daytona "github.com/opendaytona/daytona/sdk"
)

// pushOf tells a view of a push of two layers, of which the server has one, and
// of a third that is interrupted.
func pushOf(v *layerView) {
	a, b, c := "sha256:aaaaaaaaaaaaaaaa", "sha256:bbbbbbbbbbbbbbbb", "sha256:cccccccccccccccc"
	for _, p := range []daytona.LayerProgress{
		{Digest: a, Size: 10 << 20, State: daytona.LayerWaiting},
		{Digest: b, Size: 1 << 10, State: daytona.LayerWaiting},
		{Digest: c, Size: 3 << 20, State: daytona.LayerWaiting},
		{Digest: a, Size: 10 << 20, Sent: 5 << 20, State: daytona.LayerSending},
		{Digest: b, Size: 1 << 10, State: daytona.LayerThere},
		{Digest: b, Size: 1 << 10, State: daytona.LayerThere},
		{Digest: c, Size: 3 << 20, Sent: 1 << 20, State: daytona.LayerSending},
		{Digest: a, Size: 10 << 20, Sent: 10 << 20, State: daytona.LayerSent},
	} {
		v.update(p)
	}
	v.line("the snapshot is being made")
	v.end()
}

func TestLayersOfAPushAreShown(t *testing.T) {
	var plain bytes.Buffer
	pushOf(newLayerView(&plain))
	const want = "bbbbbbbbbbbb: already exists, 1.0 KiB\naaaaaaaaaaaa: sent, 10 MiB\nthe snapshot is being made\n"
	if plain.String() != want {
		t.Errorf("without a terminal:\n%s\nnot\n%s", &plain, want)
	}

	var drawn bytes.Buffer
	v := newLayerView(&drawn)
	v.draw(mpb.WithAutoRefresh()) // as on a terminal
	pushOf(v)
	for _, text := range []string{"aaaaaaaaaaaa:  sent, 10 MiB", "bbbbbbbbbbbb:  already exists, 1.0 KiB", "cccccccccccc: [=", "1.0 MiB of 3.0 MiB", "the snapshot is being made\n"} {
		if !strings.Contains(drawn.String(), text) {
			t.Errorf("no %q in\n%s", text, &drawn)
		}
	}
}
