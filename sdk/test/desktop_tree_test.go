//go:build linux

package daytona_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// form is a window of GTK with an entry, a button and an answer.
const form = `
import gi
gi.require_version("Gtk", "3.0")
from gi.repository import Gtk
w = Gtk.Window(title="Form")
b = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
w.add(b)
e, r, s = Gtk.Entry(), Gtk.Label(label="nothing"), Gtk.Button(label="Greet")
e.get_accessible().set_name("Name")
s.connect("clicked", lambda _: r.set_text("Hello " + e.get_text()))
for x in (e, r, s):
    b.add(x)
w.show_all()
Gtk.main()
`

func TestADesktopIsReadUsedAndRecorded(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	_, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "default", Image: "debian:12.9"}, nil)
	ok(t, err)
	// Of this machine, so not a display that it may have.
	home := t.TempDir()
	sb, err := c.Create(ctx, daytona.CreateParams{Env: map[string]string{
		"HOME": home, "DISPLAY": ":3377", "VNC_PORT": "35901", "NO_VNC_PORT": "36080", "DAYTONA_RECORDINGS_DIR": home + "/films", "GSETTINGS_BACKEND": "memory",
	}})
	ok(t, err)
	desktop := sb.ComputerUse
	_, err = desktop.Accessibility.Tree(ctx, daytona.AccessibilityScope{}, -1)
	wants(t, "a tree of a desktop that is not started", err, daytona.ErrInvalid)
	_, err = desktop.Recordings.Start(ctx, "")
	wants(t, "a recording of a desktop that is not started", err, daytona.ErrInvalid)
	programs, err := desktop.Start(ctx)
	ok(t, err)
	if !programs["xvfb"].Running || programs["xvfb"].Pid == 0 {
		t.Fatalf("the desktop's programs: %+v", programs)
	}
	_, err = desktop.Recordings.Start(ctx, "../x")
	wants(t, "a label that is a path", err, daytona.ErrInvalid)
	film, err := desktop.Recordings.Start(ctx, "a form")
	ok(t, err)
	if film.Status != "recording" || !strings.Contains(film.FileName, "_a form_") {
		t.Errorf("recording %+v", film)
	}
	wants(t, "deleting what goes on", desktop.Recordings.Delete(ctx, film.ID), daytona.ErrConflict)

	ok(t, sb.Process.CreateSession(ctx, "form"))
	ok(t, sb.FileSystem.UploadFile(ctx, []byte(form), home+"/form.py"))
	_, err = sb.Process.ExecuteSessionCommand(ctx, "form", daytona.SessionExecuteRequest{Command: "/usr/bin/python3 " + home + "/form.py", RunAsync: true})
	ok(t, err)
	all := daytona.AccessibilityScope{All: true}
	one := func(role, name string) (n daytona.AccessibilityNode) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			found, err := desktop.Accessibility.Find(ctx, all, daytona.AccessibilityFilter{Role: role, Name: name, States: []string{"showing"}})
			ok(t, err)
			if len(found.Matches) == 1 {
				return found.Matches[0]
			}
		}
		t.Fatalf("there is no %s named %q", role, name)
		return n
	}
	entry := one("text", "Name")
	if entry.Bounds == nil || entry.Bounds.Width < 20 || !slices.Contains(entry.States, "editable") {
		t.Errorf("the entry is %+v", entry)
	}
	ok(t, desktop.Accessibility.Focus(ctx, entry.ID))
	ok(t, desktop.Accessibility.SetValue(ctx, entry.ID, "Ada"))
	button := one("button", "Greet")
	wants(t, "an action that the button does not have", desktop.Accessibility.Invoke(ctx, button.ID, "explode"), daytona.ErrInvalid)
	ok(t, desktop.Accessibility.Invoke(ctx, button.ID, ""))
	one("label", "Hello Ada")
	tree, err := desktop.Accessibility.Tree(ctx, daytona.AccessibilityScope{}, 1)
	ok(t, err)
	if tree.Root.Role != "application" || len(tree.Root.Children) != 1 || tree.Root.Children[0].Name != "Form" || len(tree.Root.Children[0].Children) != 0 {
		t.Errorf("the tree is %+v", tree.Root)
	}
	wants(t, "a node that is not there", desktop.Accessibility.Focus(ctx, ":1.9999:/a"), daytona.ErrNotFound)

	done, err := desktop.Recordings.Stop(ctx, film.ID)
	ok(t, err)
	if done.Status != "completed" || done.DurationSeconds <= 0 || done.SizeBytes == 0 {
		t.Errorf("recording %+v", done)
	}
	_, err = desktop.Recordings.Stop(ctx, film.ID)
	wants(t, "a second stop", err, daytona.ErrNotFound)
	list, err := desktop.Recordings.List(ctx)
	ok(t, err)
	got, err := desktop.Recordings.Get(ctx, film.ID)
	ok(t, err)
	if len(list) != 1 || list[0].ID != film.ID || got.SizeBytes != done.SizeBytes {
		t.Errorf("list %+v, got %+v", list, got)
	}
	r, err := desktop.Recordings.Download(ctx, film.ID)
	ok(t, err)
	content, err := io.ReadAll(r)
	ok(t, err)
	ok(t, r.Close())
	if int64(len(content)) != done.SizeBytes || !bytes.Contains(content[:64], []byte("ftyp")) {
		t.Errorf("%d bytes of %d: %.64q", len(content), done.SizeBytes, content)
	}
	ok(t, desktop.Recordings.Delete(ctx, film.ID))
	_, err = desktop.Recordings.Get(ctx, film.ID)
	wants(t, "a recording that was deleted", err, daytona.ErrNotFound)
	_, err = desktop.Stop(ctx)
	ok(t, err)
}
