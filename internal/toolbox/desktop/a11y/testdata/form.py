"""A form of GTK: an entry, a button that greets, and a question that is
asked in two ways."""

import sys

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import Gtk  # noqa: E402

window = Gtk.Window(title="Form")
box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
window.add(box)


def named(widget, name):
    widget.get_accessible().set_name(name)
    box.add(widget)
    return widget


entry = named(Gtk.Entry(), "Your name")
fixed = named(Gtk.Entry(editable=False, text="fixed"), "Fixed")
secret = named(Gtk.Entry(visibility=False), "Password")
number = named(Gtk.SpinButton.new_with_range(0, 100, 1), "Age")
slider = named(Gtk.Scale.new_with_range(Gtk.Orientation.HORIZONTAL, -10, 10, 0.5), "Volume")
check = named(Gtk.CheckButton(label="Agree"), "Agree")
disabled = named(Gtk.Button(label="Disabled", sensitive=False), "Disabled")
result = Gtk.Label(label="nothing yet")
box.add(result)


def submit(_):
    values = (entry.get_text(), number.get_value_as_int(), slider.get_value(), check.get_active(), secret.get_text())
    result.set_text("Hello " + ", ".join(map(str, values)))


def question():
    return Gtk.MessageDialog(transient_for=window, title="Question", text="Are you sure?", buttons=Gtk.ButtonsType.OK)


def answered(dialog, _):
    dialog.destroy()
    result.set_text("answered")


def ask(_):
    dialog = question()
    dialog.connect("response", answered)
    dialog.show()


def wait(_):
    question().run()


for label, clicked in (("Submit", submit), ("Ask", ask), ("Wait", wait)):
    button = Gtk.Button(label=label)
    button.connect("clicked", clicked)
    box.add(button)

# Rows of 100 labels, as many as asked for.
rows = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
for i in range(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
    row = Gtk.Box()
    for j in range(100):
        row.add(Gtk.Label(label=f"label {i}.{j}"))
    rows.add(row)
if rows.get_children():
    scrolled = Gtk.ScrolledWindow()
    scrolled.add(rows)
    box.add(scrolled)

window.connect("destroy", Gtk.main_quit)
window.show_all()
print("ready", flush=True)
Gtk.main()
