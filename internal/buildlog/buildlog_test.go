package buildlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEveryFollowerReadsFromTheFirstLineToTheLast(t *testing.T) {
	logs, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, err := logs.Start("a")
	if err != nil {
		t.Fatal(err)
	}
	w.Line("line 0")
	var want strings.Builder
	want.WriteString("line 0\n")
	var wg sync.WaitGroup
	got := make([]bytes.Buffer, 8)
	for i := range got {
		wg.Go(func() {
			if err := logs.Copy(t.Context(), &got[i], "a", true); err != nil {
				t.Error(err)
			}
		})
	}
	for i := 1; i < 200; i++ {
		line := fmt.Sprintf("line %d", i)
		w.Line(line)
		want.WriteString(line + "\n")
	}
	w.Close()
	wg.Wait()
	for i := range got {
		if got[i].String() != want.String() {
			t.Errorf("follower %d read %d of %d bytes", i, got[i].Len(), want.Len())
		}
	}
	var again bytes.Buffer
	if err := logs.Copy(t.Context(), &again, "a", true); err != nil || again.String() != want.String() {
		t.Errorf("after the end: %d bytes, %v", again.Len(), err)
	}
}

func TestFollowEndsWithItsReader(t *testing.T) {
	logs, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, err := logs.Start("a")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if err := logs.Copy(ctx, &bytes.Buffer{}, "a", true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestMissingLogIsEmptyAndRemoveRepeats(t *testing.T) {
	logs, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := logs.Copy(t.Context(), &b, "none", true); err != nil || b.Len() != 0 {
		t.Errorf("got %q, %v", b.String(), err)
	}
	for range 2 {
		if err := logs.Remove("none"); err != nil {
			t.Error(err)
		}
	}
}
