"""A window at 100,100 of 400 by 300 pixels: a field, a button and a square.

Writes what it is sent to the file that it is given, a line each.
"""

import sys
import tkinter

log = open(sys.argv[1], "w", encoding="utf-8", buffering=1)
window = tkinter.Tk()
window.title("Form – 表")
window.geometry("400x300+100+100")
window.configure(background="#c0c0c0")

text = tkinter.Text(window, font=("DejaVu Sans", 12))
text.place(x=20, y=20, width=360, height=60)
square = tkinter.Frame(window, background="#ff0000")
square.place(x=20, y=180, width=100, height=100)


def pressed():
    square.configure(background="#00a000")
    log.write("button\n")


tkinter.Button(window, text="Press", command=pressed).place(x=20, y=110, width=100, height=40)


def modifiers(event):
    names = {0x1: "shift", 0x4: "ctrl", 0x8: "alt", 0x40: "cmd"}
    return "".join("+" + name for bit, name in names.items() if event.state & bit)


def mouse(event):
    log.write(f"mouse {event.type.name} {event.num}{modifiers(event)} {event.x},{event.y}\n")


def key(event):
    log.write(f"key {event.type.name} {event.keysym}{modifiers(event)}\n")


square.bind("<ButtonPress>", mouse)
square.bind("<ButtonRelease>", mouse)
square.bind("<B1-Motion>", lambda event: log.write(f"drag {event.x},{event.y}\n"))
square.bind("<Triple-Button-1>", lambda event: log.write("triple\n"), add="+")
text.bind("<KeyPress>", key)
text.bind("<KeyRelease>", key)
text.bind("<<Modified>>", lambda event: (log.write(f"text {text.get('1.0', 'end-1c')!r}\n"), text.edit_modified(False)))
text.focus_force()
window.wait_visibility()
window.after(100, lambda: log.write("ready\n"))
window.mainloop()
