//go:build linux

package daytona_test

import (
	"bytes"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"strings"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// entry is a program with a field and a square, which becomes green when the
// square is clicked three times and the field has the word.
const entry = `
import tkinter
w = tkinter.Tk()
w.title("Entry")
w.geometry("300x200+50+60")
text = tkinter.Entry(w)
text.place(x=10, y=10, width=200, height=30)
square = tkinter.Frame(w, background="#ff0000")
square.place(x=10, y=60, width=100, height=100)
square.bind("<Triple-Button-1>", lambda e: square.configure(background="#00a000") if text.get() == "Grüße, Ω!" else None)
text.focus_force()
w.mainloop()
`

func TestTheDesktopIsLookedAtAndUsed(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	_, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "default", Image: "debian:12.9"}, nil)
	ok(t, err)
	sb, err := c.Create(ctx, daytona.CreateParams{Env: map[string]string{
		"HOME": t.TempDir(), "DISPLAY": ":90", "VNC_PORT": "15990", "NO_VNC_PORT": "16170", "VNC_RESOLUTION": "800x600",
	}})
	ok(t, err)
	use := sb.ComputerUse
	_, err = use.Mouse.Position(ctx)
	wants(t, "the pointer of a desktop that was not started", err, daytona.ErrInvalid)
	processes, err := use.Start(ctx)
	ok(t, err)
	t.Cleanup(func() { _, _ = use.Stop(t.Context()) })
	if p := processes["xvfb"]; !p.Running || p.Priority != 100 || !p.AutoRestart || p.Pid == 0 || len(processes) != 5 {
		t.Errorf("processes %+v", processes)
	}
	if status, err := use.Status(ctx); err != nil || status != "active" {
		t.Errorf("status %s, %v", status, err)
	}
	displays, err := use.Display.Info(ctx)
	if err != nil || len(displays) != 1 || displays[0] != (daytona.DisplayInfo{Width: 800, Height: 600, IsActive: true}) {
		t.Errorf("displays %+v, %v", displays, err)
	}
	ok(t, sb.FileSystem.UploadFile(ctx, []byte(entry), "entry.py"))
	_, err = sb.Process.ExecuteCommand(ctx, "setsid /usr/bin/python3 entry.py >entry.log 2>&1 </dev/null &", daytona.ExecuteOptions{})
	ok(t, err)
	var windows []daytona.WindowInfo
	for end := time.Now().Add(20 * time.Second); len(windows) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		windows, err = use.Display.Windows(ctx)
		ok(t, err)
	}
	if len(windows) != 1 || windows[0].Title != "Entry" || windows[0].Width != 300 || windows[0].Height != 200 {
		t.Fatalf("windows %+v", windows)
	}
	at := daytona.Point{X: windows[0].X + 60, Y: windows[0].Y + 110}
	_, err = use.Mouse.Click(ctx, daytona.Point{X: windows[0].X + 100, Y: windows[0].Y + 25}, daytona.ClickOptions{})
	ok(t, err)
	ok(t, use.Keyboard.Type(ctx, "gone", 0))
	ok(t, use.Keyboard.Hotkey(ctx, "ctrl+/"))
	ok(t, use.Keyboard.Press(ctx, "delete"))
	ok(t, use.Keyboard.Type(ctx, "Grüße, Ω", 1))
	ok(t, use.Keyboard.Down(ctx, "shift"))
	ok(t, use.Keyboard.Press(ctx, "1"))
	ok(t, use.Keyboard.Up(ctx, "shift"))
	if got, err := use.Mouse.Click(ctx, at, daytona.ClickOptions{Clicks: 3}); err != nil || got != at {
		t.Errorf("clicked at %v, %v", got, err)
	}
	colour := func() (r, g, b uint32) {
		picture, err := use.Screenshot.Take(ctx, daytona.ScreenshotOptions{Region: &daytona.Region{X: at.X, Y: at.Y, Width: 1, Height: 1}})
		ok(t, err)
		img, _, err := image.Decode(bytes.NewReader(picture.Image))
		ok(t, err)
		r, g, b, _ = img.At(0, 0).RGBA()
		return r >> 8, g >> 8, b >> 8
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, g, b := colour()
		if r == 0 && g == 0xa0 && b == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the square is %02x%02x%02x", r, g, b)
		}
	}
	picture, err := use.Screenshot.Take(ctx, daytona.ScreenshotOptions{ShowCursor: true, Format: "jpeg", Quality: 50, Scale: 0.5})
	ok(t, err)
	if img, format, err := image.Decode(bytes.NewReader(picture.Image)); err != nil || format != "jpeg" || img.Bounds().Dx() != 400 || picture.Cursor == nil {
		t.Errorf("picture: %s, pointer at %v, %v", format, picture.Cursor, err)
	}
	_, err = use.Screenshot.Take(ctx, daytona.ScreenshotOptions{Region: &daytona.Region{Width: 801, Height: 1}})
	wants(t, "a region beyond the screen", err, daytona.ErrInvalid)

	ok(t, use.Mouse.Scroll(ctx, at, "down", 2, "ctrl"))
	_, err = use.Mouse.Down(ctx, &at, "left")
	ok(t, err)
	_, err = use.Mouse.Up(ctx, nil, "left")
	ok(t, err)
	if got, err := use.Mouse.Drag(ctx, at, daytona.Point{X: 900, Y: -1}, "", "shift"); err != nil || got != (daytona.Point{X: 799, Y: 0}) {
		t.Errorf("dragged to %v, %v", got, err)
	}
	if got, err := use.Mouse.Move(ctx, at); err != nil || got != at {
		t.Errorf("moved to %v, %v", got, err)
	}
	ok(t, use.RestartProcess(ctx, "novnc"))
	if running, err := use.ProcessRunning(ctx, "novnc"); err != nil || !running {
		t.Errorf("novnc runs: %v, %v", running, err)
	}
	logs, err := use.ProcessLogs(ctx, "novnc")
	ok(t, err)
	errs, err := use.ProcessErrors(ctx, "novnc")
	ok(t, err)
	if !strings.Contains(logs+errs, "16170") {
		t.Errorf("novnc's logs: %s%s", logs, errs)
	}
	wants(t, "a process that is not the desktop's", use.RestartProcess(ctx, "none"), daytona.ErrNotFound)
	processes, err = use.Stop(ctx)
	if err != nil || processes["x11vnc"].Running || processes["x11vnc"].Pid != 0 {
		t.Errorf("stopped: %+v, %v", processes, err)
	}
}
