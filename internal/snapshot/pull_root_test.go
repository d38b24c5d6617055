//go:build root

package snapshot_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/test/fixtures"
)

// pulled are the images that registries have.
type pulled struct{ *image.Store }

func (pulled) ValidateReference(string) error            { return nil }
func (pulled) Registry(ref string) string                { return oci.RegistryOf(ref) }
func (pulled) Pinned(ref, digest string) (string, error) { return oci.Pinned(ref, digest) }
func (p pulled) Pull(ctx context.Context, _, ref, owner string, progress func(string)) (*oci.Image, error) {
	img, err := p.Store.Pull(ctx, ref, image.PullOptions{Owner: owner, Progress: progress})
	if err != nil {
		return nil, err
	}
	return img.Describe(), nil
}

func (p pulled) Image(ctx context.Context, digest string) (*oci.Image, error) {
	img, err := p.Store.Image(ctx, digest)
	if err != nil {
		return nil, err
	}
	return img.Describe(), nil
}

func (p pulled) Contents(ctx context.Context, digest string) (oci.Contents, error) {
	return p.Store.Image(ctx, digest)
}

// silentRegistry accepts and says nothing.
func silentRegistry(t *testing.T) (host string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	var mu sync.Mutex
	var held []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range held {
			_ = c.Close()
		}
	})
	return l.Addr().String(), connections
}

func TestASilentRegistryDelaysNoOtherPull(t *testing.T) {
	silent, connections := silentRegistry(t)
	good := fixtures.NewRegistry()
	img, err := fixtures.Noise(1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := good.AddImage("team/app", "1", img); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(good)
	t.Cleanup(web.Close)
	host := strings.TrimPrefix(web.URL, "http://")
	store, err := image.Open(t.Context(), image.Options{Dir: t.TempDir(), PlainHTTP: []string{silent, host}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s, _, organization := serviceWith(t, pulled{store}, &images{held: map[string]string{}}, 20, 1)
	pull := func(name, ref string) *snapshot.Snapshot {
		snap, err := s.Create(t.Context(), organization, false, snapshot.CreateParams{Name: name, ImageName: ref})
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	var last *snapshot.Snapshot
	for i := range 10 {
		last = pull(fmt.Sprintf("silent-%d", i), fmt.Sprintf("%s/team/app:%d", silent, i))
	}
	for deadline := time.Now().Add(10 * time.Second); connections.Load() < 8; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d pulls wait for the silent registry", connections.Load())
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	snap, err := s.Settle(ctx, pull("good", host+"/team/app:1"))
	if err != nil || snap.State != snapshot.StateActive {
		t.Errorf("the good one is %+v, %v", snap, err)
	}
	if n := connections.Load(); n != 8 {
		t.Errorf("the silent registry has %d pulls at once", n)
	}
	// One that waits for its turn is removed without it.
	if err := s.Delete(t.Context(), organization, last.Name, false); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := s.Get(t.Context(), organization, last.Name); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not removed")
		}
	}
}
