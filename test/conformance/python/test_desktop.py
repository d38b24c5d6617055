"""The desktop, by both clients: each method of mouse, keyboard, screenshot, display and the processes is called."""

import base64
import os
import struct
import time
import zlib
from collections.abc import Iterator

import aiohttp
import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaError,
    Sandbox,
    ScreenshotOptions,
    ScreenshotRegion,
)

from conftest import done

# A snapshot of an image with a desktop and Python's Tk.
SNAPSHOT = os.environ.get("DESKTOP_SNAPSHOT", "desktop")

# A field, and a square that writes what it is sent to a file and becomes green by a double click.
FORM = """
import tkinter
log = open("/tmp/events", "w", buffering=1)
w = tkinter.Tk()
w.title("Entry")
w.geometry("300x200+50+60")
text = tkinter.Text(w)
text.place(x=10, y=10, width=280, height=40)
square = tkinter.Frame(w, background="#ff0000")
square.place(x=10, y=60, width=100, height=100)
def told(kind):
    def f(e):
        log.write(f"{kind} {e.num} {'ctrl' if e.state & 4 else '-'} {e.x},{e.y}\\n")
    return f
square.bind("<ButtonPress>", told("press"))
square.bind("<ButtonRelease>", told("release"))
square.bind("<Double-Button-1>", lambda e: (square.configure(background="#00a000"), log.write("double\\n")))
text.bind("<KeyPress>", lambda e: log.write(f"key {e.keysym}\\n"))
had = [""]
def changed(e):
    if text.get("1.0", "end-1c") != had[0]:
        had[0] = text.get("1.0", "end-1c")
        log.write(f"text {had[0]!r}\\n")
    text.edit_modified(False)
text.bind("<<Modified>>", changed)
text.focus_force()
w.wait_visibility()
w.after(200, lambda: log.write("ready\\n"))
w.mainloop()
"""


@pytest.fixture(scope="module")
def machine(daytona: Daytona) -> Iterator[Sandbox]:
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=SNAPSHOT), timeout=120)
    sandbox.fs.upload_file(FORM.encode(), "form.py")
    yield sandbox
    sandbox.delete()


class Desk:
    """The desktop with the form on it, by one of the clients."""

    def __init__(self, machine: Sandbox, sandbox):
        self.machine, self.use = machine, sandbox.computer_use
        run(machine, "kill $(cat /tmp/form.pid) 2>/dev/null; rm -f /tmp/events")
        run(machine, "setsid sh -c 'echo $$ >/tmp/form.pid; exec python3 form.py' >/tmp/form.log 2>&1 </dev/null &")
        self.await_event("ready")

    def events(self) -> list[str]:
        return run(self.machine, "cat /tmp/events 2>/dev/null || true").splitlines()

    def await_event(self, *wanted: str) -> None:
        """Waits until the events end with those that are wanted."""
        end = time.monotonic() + 20
        while (got := self.events())[-len(wanted) :] != list(wanted):
            assert time.monotonic() < end, (wanted, got)
            time.sleep(0.1)


def run(sandbox: Sandbox, command: str) -> str:
    answer = sandbox.process.exec(command)
    return answer.result


@pytest.fixture(params=["sync", "async"])
async def desk(request, machine: Sandbox, async_daytona: AsyncDaytona) -> Desk:
    sandbox = machine if request.param == "sync" else await async_daytona.get(machine.id)
    started = await done(sandbox.computer_use.start())
    assert started.status["xvfb"].running and started.status["xvfb"].pid > 1
    return Desk(machine, sandbox)


async def test_the_desktop_has_its_processes(desk: Desk):
    use = desk.use
    assert set((await done(use.start())).status) == {"xvfb", "xfce4", "atspi", "x11vnc", "novnc"}
    assert (await done(use.get_status())).status == "active"
    assert (await done(use.get_process_status("x11vnc"))).running is True
    before = (await done(use.start())).status["novnc"].pid
    assert (await done(use.restart_process("novnc"))).process_name == "novnc"
    after = (await done(use.start())).status["novnc"].pid
    assert after and after != before
    assert (
        "6080"
        in (await done(use.get_process_logs("novnc"))).logs + (await done(use.get_process_errors("novnc"))).errors
    )
    with pytest.raises(DaytonaError) as refused:
        await done(use.get_process_status("none"))
    assert refused.value.status_code == 404


async def test_the_mouse(desk: Desk):
    mouse = desk.use.mouse
    window = (await done(desk.use.display.get_windows())).windows[0]
    assert (window.title, window.width, window.height, window.is_active) == ("Entry", 300, 200, True)
    x, y = window.x + 60, window.y + 110  # 50,50 in the square
    at = await done(mouse.move(x, y))
    assert (at.x, at.y) == (x, y)
    at = await done(mouse.get_position())
    assert (at.x, at.y) == (x, y)
    at = await done(mouse.click(x, y, "right", modifiers=["ctrl"]))
    assert (at.x, at.y) == (x, y)
    desk.await_event("press 3 ctrl 50,50", "release 3 ctrl 50,50")
    await done(mouse.click(x, y, double=True))
    desk.await_event("press 1 - 50,50", "release 1 - 50,50", "double", "release 1 - 50,50")
    assert await color(desk, x, y) == (0, 0xA0, 0)
    time.sleep(0.6)  # or the next is a third click of this one
    await done(mouse.click(x, y, "middle", clicks=3))
    desk.await_event(*["press 2 - 50,50", "release 2 - 50,50"] * 3)
    at = await done(mouse.drag(x, y, x + 20, y + 10))
    assert (at.x, at.y) == (x + 20, y + 10)
    desk.await_event("press 1 - 50,50", "release 1 - 70,60")
    assert await done(mouse.scroll(x, y, "down", 2)) is True
    desk.await_event(*["press 5 - 50,50", "release 5 - 50,50"] * 2)
    await done(mouse.down(x, y))
    desk.await_event("press 1 - 50,50")
    at = await done(mouse.up(x + 5, y))
    assert at.x == x + 5
    desk.await_event("release 1 - 55,50")
    for bad in (mouse.click, mouse.scroll):
        with pytest.raises(DaytonaError) as refused:
            await done(bad(x, y, "sideways"))
        assert refused.value.status_code == 400


async def color(desk: Desk, x: int, y: int) -> tuple[int, ...]:
    """The color of a pixel: the data of a PNG of one is a byte for the filter and three for it."""
    png = decode(
        (await done(desk.use.screenshot.take_region(ScreenshotRegion(x=x, y=y, width=1, height=1)))).screenshot
    )
    start = png.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", png[start - 8 : start - 4])
    return tuple(zlib.decompress(png[start : start + length])[1:4])


def decode(screenshot: str) -> bytes:
    return base64.b64decode(screenshot, validate=True)


def png_size(image: bytes) -> tuple[int, int]:
    assert image.startswith(b"\x89PNG\r\n")
    return struct.unpack(">II", image[16:24])


def jpeg_size(image: bytes) -> tuple[int, int]:
    assert image.startswith(b"\xff\xd8")
    frame = image.index(b"\xff\xc0") + 5
    return struct.unpack(">HH", image[frame : frame + 4])[::-1]


async def test_the_keyboard(desk: Desk):
    keyboard = desk.use.keyboard
    await done(keyboard.type("Grüße, 漢字!", delay=1))
    desk.await_event("text 'Grüße, 漢字!'")
    await done(keyboard.hotkey("ctrl+/"))
    await done(keyboard.press("Delete"))
    desk.await_event("key Delete", "text ''")
    await done(keyboard.press("a", ["shift"]))
    desk.await_event("key Shift_L", "key A", "text 'A'")
    await done(keyboard.down("shift"))
    await done(keyboard.press("b"))
    await done(keyboard.up("shift"))
    await done(keyboard.press("enter"))
    desk.await_event("key Return", "text 'AB\\n'")
    for press, bad in ((keyboard.press, "!"), (keyboard.hotkey, "ctrl++"), (keyboard.type, "\t")):
        with pytest.raises(DaytonaError) as refused:
            await done(press(bad))
        assert refused.value.status_code == 400


async def test_screenshots_and_displays(desk: Desk):
    take = desk.use.screenshot
    display = (await done(desk.use.display.get_info())).displays[0]
    assert (display.x, display.y, display.width, display.height, display.is_active) == (0, 0, 1024, 768, True)
    await done(desk.use.mouse.move(300, 200))
    whole = await done(take.take_full_screen(show_cursor=True))
    image = decode(whole.screenshot)
    assert png_size(image) == (1024, 768) and whole.size_bytes == len(image)
    assert (whole.cursor_position.x, whole.cursor_position.y) == (300, 200)
    small = await done(take.take_compressed(ScreenshotOptions(fmt="jpeg", quality=40, scale=0.5, show_cursor=True)))
    assert jpeg_size(decode(small.screenshot)) == (512, 384)
    assert (small.cursor_position.x, small.cursor_position.y) == (150, 100)
    part = await done(
        take.take_compressed_region(ScreenshotRegion(x=10, y=20, width=30, height=40), ScreenshotOptions(fmt="webp"))
    )
    assert decode(part.screenshot)[8:12] == b"WEBP"
    with pytest.raises(DaytonaError) as refused:
        await done(take.take_region(ScreenshotRegion(x=0, y=0, width=5000, height=1)))
    assert refused.value.status_code == 400


async def test_a_browser_watches_by_the_preview(desk: Desk):
    """What noVNC's page does: it loads, and speaks VNC over a WebSocket."""
    url = desk.machine.create_signed_preview_url(6080, expires_in_seconds=300).url
    async with aiohttp.ClientSession() as browser:
        async with browser.get(url + "/vnc.html") as page:
            assert page.status == 200 and "noVNC" in await page.text()
        async with browser.ws_connect(url + "/websockify", protocols=["binary"]) as vnc:
            assert (await vnc.receive_bytes(timeout=20))[:4] == b"RFB "


async def test_the_desktop_ends_with_all(machine: Sandbox, async_daytona: AsyncDaytona):
    for sandbox in (machine, await async_daytona.get(machine.id)):
        await done(sandbox.computer_use.start())
        stopped = await done(sandbox.computer_use.stop())
        assert not any(p.running for p in stopped.status.values())
        assert (await done(sandbox.computer_use.get_status())).status == "inactive"
        programs = "Xvfb|openbox|x11vnc|websockify|dbus-daemon"
        assert run(machine, f"ps -eo comm= | grep -E '{programs}' || echo none") == "none\n"
        with pytest.raises(DaytonaError, match="start it first") as refused:
            await done(sandbox.computer_use.mouse.get_position())
        assert refused.value.status_code == 400


async def test_a_stop_with_a_desktop_does_not_hang_and_it_starts_again(machine: Sandbox):
    machine.computer_use.start()
    began = time.monotonic()
    machine.stop(timeout=60)
    assert time.monotonic() - began < 20
    machine.start(timeout=60)
    assert machine.computer_use.get_status().status == "inactive"
    assert machine.computer_use.start().status["xvfb"].running
    machine.computer_use.stop()


async def test_an_image_without_a_desktop_says_so(shared: Sandbox):
    with pytest.raises(DaytonaError) as refused:
        shared.computer_use.start()
    assert refused.value.status_code == 503 and "Computer-use functionality is not available" in str(refused.value)
