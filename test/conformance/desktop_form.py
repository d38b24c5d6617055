"""A form for the desktop's tests: an entry, a slider, a check box and a button."""

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import Gtk  # noqa: E402

window = Gtk.Window(title="Form")
box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
window.add(box)
entry = Gtk.Entry()
entry.get_accessible().set_name("Name")
slider = Gtk.Scale.new_with_range(Gtk.Orientation.HORIZONTAL, 0, 10, 1)
slider.get_accessible().set_name("Volume")
check = Gtk.CheckButton(label="Agree")
button = Gtk.Button(label="Greet")
answer = Gtk.Label(label="nothing yet")


def greet(_):
    answer.set_text(f"Hello {entry.get_text()}, {slider.get_value():g}, {check.get_active()}")


button.connect("clicked", greet)
for widget in (entry, slider, check, button, answer):
    box.add(widget)
window.connect("destroy", Gtk.main_quit)
window.show_all()
Gtk.main()
