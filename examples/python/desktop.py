"""A desktop in a sandbox: start it, open a program, use it, look at the result, and
keep a film of it.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets. The snapshot's image must have a desktop, as the
variants desktop and full of the default snapshots' image have (docs/desktop.md);
DESKTOP_SNAPSHOT names another snapshot than the default one.
"""

import base64
import os
import time
from pathlib import Path

from daytona import CreateSandboxFromSnapshotParams, Daytona, ScreenshotOptions

PROGRAM = """
import tkinter
window = tkinter.Tk()
window.title("Greeting")
window.geometry("320x120+100+100")
name = tkinter.Entry(window, font="sans 14")
name.pack(pady=10)
greeting = tkinter.Label(window, font="sans 14")
greeting.pack()
name.bind("<Return>", lambda event: (greeting.configure(text=f"Hello, {name.get()}!"), window.title("Done")))
name.focus_force()
window.mainloop()
"""

sandbox = Daytona().create(CreateSandboxFromSnapshotParams(snapshot=os.environ.get("DESKTOP_SNAPSHOT")))
try:
    desktop = sandbox.computer_use
    desktop.start()
    print("watch it in a browser:", sandbox.create_signed_preview_url(6080).url + "/vnc.html?autoconnect=true")

    film = desktop.recording.start("greeting")
    # Programs that are started now find the desktop.
    sandbox.fs.upload_file(PROGRAM.encode(), "greeting.py")
    sandbox.process.exec("setsid python3 greeting.py >greeting.log 2>&1 </dev/null &")

    def title() -> str:
        return "".join(window.title for window in desktop.display.get_windows().windows)

    def wait_for(wanted: str) -> None:
        end = time.monotonic() + 30
        while title() != wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"no window {wanted}")
            time.sleep(0.1)

    wait_for("Greeting")
    window = desktop.display.get_windows().windows[0]
    desktop.mouse.click(window.x + window.width // 2, window.y + 25)
    desktop.keyboard.type("世界")
    desktop.keyboard.press("enter")
    wait_for("Done")

    picture = desktop.screenshot.take_compressed(ScreenshotOptions(fmt="jpeg", quality=80, show_cursor=True))
    Path("/tmp/daytona-desktop.jpg").write_bytes(base64.b64decode(picture.screenshot))
    print("screenshot:", picture.size_bytes, "bytes, pointer at", picture.cursor_position.x, picture.cursor_position.y)
    film = desktop.recording.stop(film.id)
    desktop.recording.download(film.id, "/tmp/daytona-desktop.mp4")
    print(f"film: {film.duration_seconds:.1f} s, {film.size_bytes} bytes")
    desktop.stop()
finally:
    sandbox.delete()
