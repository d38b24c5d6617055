//go:build root

package recording

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFullDiskIsToldAndTheFilmIsKept(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=160k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	display := startDisplay(t)
	r := recordTo(t, dir, display)
	rec := r.start("")
	r.service.mu.Lock()
	e := r.service.active[rec.ID]
	r.service.mu.Unlock()
	// Something that moves takes more room than a display that stands still.
	cmd := exec.Command("/usr/bin/python3", "-c", `
import tkinter
w = tkinter.Tk()
w.geometry("400x300+0+0")
c = tkinter.Canvas(w, width=400, height=300)
c.pack()
def draw(n=0):
    c.delete("all")
    for i in range(200):
        x, y = (i * 7919 + n * 31) % 400, (i * 104729 + n * 17) % 300
        c.create_rectangle(x, y, x + 20, y + 20, fill="#%06x" % ((i * 15485863 + n * 12345) % 0xffffff))
    w.after(30, draw, n + 1)
draw()
w.mainloop()`)
	cmd.Env = append(os.Environ(), "DISPLAY="+display)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	<-e.finished
	var f failure
	if r.ask(http.StatusInsufficientStorage, http.MethodPost, "/stop", fmt.Sprintf(`{"id":%q}`, rec.ID), &f); !strings.Contains(f.Message, "disk is full") {
		t.Errorf("%+v", f)
	}
	got := r.get(rec.ID)
	if got.Status != "failed" || got.DurationSeconds == nil || *got.SizeBytes < 30_000 {
		t.Errorf("%+v", got)
	}
	if p := probe(t, rec.FilePath); p.Streams[0].Frames == "0" {
		t.Errorf("%+v", p)
	}
	if left, err := filepath.Glob(filepath.Join(dir, unfinished+"*")); err != nil || len(left) != 0 {
		t.Errorf("left %v, error %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o644); err == nil {
		t.Fatal("the disk is not full")
	}
	r.ask(http.StatusInsufficientStorage, http.MethodPost, "/start", "", nil)
	if all := r.list(); len(all) != 1 || r.holds.Load() != 0 {
		t.Errorf("%+v", all)
	}
}
