"""The accessibility tree and the recordings of a desktop, by both clients: each
method of theirs is called."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaConflictError,
    DaytonaError,
    DaytonaNotFoundError,
    DaytonaValidationError,
)

from conftest import done

FORM = (Path(__file__).parents[1] / "desktop_form.py").read_bytes()
SNAPSHOT = os.environ.get("DESKTOP_SNAPSHOT", "desktop")


@dataclass
class Desktop:
    """A sandbox whose desktop runs, with a form on it."""

    sandbox: object
    tree: object
    recording: object
    pid: int

    async def exec(self, command: str) -> str:
        answer = await done(self.sandbox.process.exec(command))
        assert answer.exit_code == 0, answer.result
        return answer.result.strip()

    async def one(self, role: str, name: str):
        """The only node like that, which the form may have yet to show."""
        for _ in range(100):
            found = await done(self.tree.find_nodes(scope="all", role=role, name=name, states=["showing"]))
            if len(found.matches) == 1:
                return found.matches[0]
            await asyncio.sleep(0.1)
        raise AssertionError(f"there is no {role} named {name}: {found.matches}")


@pytest.fixture(params=["sync", "async"])
async def desktop(request, daytona: Daytona, async_daytona: AsyncDaytona) -> AsyncIterator[Desktop]:
    client = daytona if request.param == "sync" else async_daytona
    sandbox = await done(client.create(CreateSandboxFromSnapshotParams(snapshot=SNAPSHOT), timeout=120))
    try:
        with pytest.raises(DaytonaValidationError, match="start it first"):
            await done(sandbox.computer_use.accessibility.get_tree())
        with pytest.raises(DaytonaValidationError, match="start the desktop first"):
            await done(sandbox.computer_use.recording.start())
        await done(sandbox.computer_use.start())
        with pytest.raises(DaytonaNotFoundError, match="no program"):
            await done(sandbox.computer_use.accessibility.get_tree())
        await done(sandbox.fs.upload_file(FORM, "form.py"))
        started = await done(sandbox.process.exec("setsid python3 form.py >form.log 2>&1 & echo $!"))
        one = Desktop(sandbox, sandbox.computer_use.accessibility, sandbox.computer_use.recording, 0)
        await one.one("frame", "Form")
        one.pid = int(await one.exec("pgrep -f '^python3 form.py' | head -n 1"))
        assert started.exit_code == 0
        yield one
    finally:
        await done(sandbox.delete())


def nodes(root) -> list:
    return [root, *(n for child in root.children or [] for n in nodes(child))]


async def test_a_form_is_filled_in(desktop: Desktop):
    entry = await desktop.one("text", "Name")
    await done(desktop.tree.focus_node(entry.id))
    await done(desktop.tree.set_node_value(entry.id, "Ada Łovelace 漢字"))
    await done(desktop.tree.set_node_value((await desktop.one("slider", "Volume")).id, "7"))
    await done(desktop.tree.invoke_node((await desktop.one("check box", "Agree")).id, action="Click"))
    await done(desktop.tree.invoke_node((await desktop.one("button", "Greet")).id))
    await desktop.one("label", "Hello Ada Łovelace 漢字, 7, True")
    focused = await done(desktop.tree.find_nodes(states=["focused"]))
    assert [n.id for n in focused.matches] == [entry.id]


async def test_the_tree(desktop: Desktop):
    whole = await done(desktop.tree.get_tree(scope="pid", pid=desktop.pid))
    assert whole.truncated is False
    assert [(n.role, n.name) for n in nodes(whole.root)] == [
        ("application", "form.py"),
        ("frame", "Form"),
        ("filler", ""),
        ("text", "Name"),
        ("slider", "Volume"),
        ("check box", "Agree"),
        ("push button", "Greet"),
        ("label", "nothing yet"),
    ]
    button = nodes(whole.root)[6]
    assert button.actions == ["Click"] and {"enabled", "focusable", "showing"} <= set(button.states)
    assert button.bounds.width > 20 and button.bounds.height > 10 and button.children is None
    assert (await done(desktop.tree.get_tree(max_depth=0))).root.to_dict() == {
        "id": whole.root.id,
        "role": "application",
        "name": "form.py",
        "states": [],
    }
    every = await done(desktop.tree.get_tree(scope="all", max_depth=2))
    assert every.root.role == "desktop frame"
    assert [[w.name for w in p.children] for p in every.root.children if p.name == "form.py"] == [["Form"]]


async def test_finding(desktop: Desktop):
    async def names(**filters):
        return [n.name for n in (await done(desktop.tree.find_nodes(scope="pid", pid=desktop.pid, **filters))).matches]

    assert await names(name="ree") == ["Agree", "Greet"]
    assert await names(name="^Gre+t$", name_match="regex") == ["Greet"]
    assert await names(name="Gre", name_match="exact") == []
    assert await names(role="Push Button", states=["enabled"]) == ["Greet"]
    cut = await done(desktop.tree.find_nodes(scope="all", limit=1))
    assert len(cut.matches) == 1 and cut.truncated is True


async def test_what_is_refused(desktop: Desktop):
    label = (await desktop.one("label", "nothing yet")).id
    for call in (
        lambda: desktop.tree.get_tree(scope="window"),
        lambda: desktop.tree.get_tree(scope="pid"),
        lambda: desktop.tree.find_nodes(name="(", name_match="regex"),
        lambda: desktop.tree.set_node_value(label, "x"),
        lambda: desktop.tree.invoke_node(label),
        lambda: desktop.tree.focus_node("no id"),
    ):
        with pytest.raises(DaytonaValidationError):
            await done(call())
    for call in (
        lambda: desktop.tree.get_tree(scope="pid", pid=999_999),
        lambda: desktop.tree.focus_node(label.rsplit("/", 1)[0] + "/99999"),
    ):
        with pytest.raises(DaytonaNotFoundError):
            await done(call())
    await desktop.exec(f"kill -STOP {desktop.pid}")
    with pytest.raises(DaytonaError) as hung:
        await done(desktop.tree.invoke_node(label))
    assert (hung.value.status_code, hung.value.code) == (503, "A11Y_UNAVAILABLE")
    assert (await done(desktop.tree.get_tree(scope="all"))).truncated is True


async def test_recordings(desktop: Desktop, tmp_path: Path):
    recording = desktop.recording
    first = await done(recording.start("a form"))
    second = await done(recording.start())
    assert (first.status, first.duration_seconds, first.end_time) == ("recording", None, None)
    assert first.file_name.startswith(f"{first.id}_a form_") and f"{second.id}_session_" in second.file_name
    assert first.file_path == f"/home/daytona/.daytona/recordings/{first.file_name}"
    assert [r.id for r in (await done(recording.list())).recordings] == [first.id, second.id]
    assert (await done(recording.get(first.id))).status == "recording"
    with pytest.raises(DaytonaConflictError) as active:
        await done(recording.delete(first.id))
    assert active.value.code == "RECORDING_STILL_ACTIVE"
    await asyncio.sleep(2)
    stopped = await done(recording.stop(first.id))
    assert stopped.status == "completed" and stopped.duration_seconds >= 1.5 and stopped.size_bytes > 1000
    length = datetime.fromisoformat(stopped.end_time) - datetime.fromisoformat(stopped.start_time)
    assert 2 <= length.total_seconds() < 60
    with pytest.raises(DaytonaNotFoundError):
        await done(recording.stop(first.id))

    probe = f"ffprobe -v error -show_streams -show_format -of json '{stopped.file_path}'"
    probed = json.loads(await desktop.exec(probe))
    wanted = {"codec_name": "h264", "pix_fmt": "yuv420p", "width": 1024, "height": 768, "r_frame_rate": "30/1"}
    assert {key: probed["streams"][0][key] for key in wanted} == wanted
    assert float(probed["format"]["duration"]) == pytest.approx(stopped.duration_seconds, abs=0.05)
    assert await desktop.exec(f"stat -c '%U %a' '{stopped.file_path}'") == "daytona 644"

    await done(recording.download(first.id, str(tmp_path / "film.mp4")))
    assert (tmp_path / "film.mp4").stat().st_size == stopped.size_bytes
    await done(recording.delete(first.id))
    with pytest.raises(DaytonaNotFoundError):
        await done(recording.get(first.id))

    # The desktop ends what is being recorded in order, and it can be read back.
    await done(desktop.sandbox.computer_use.stop())
    left = (await done(recording.list())).recordings
    assert [(r.id, r.status) for r in left] == [(second.id, "completed")] and left[0].duration_seconds > 1
    with pytest.raises(DaytonaValidationError):
        await done(recording.start("../../x"))


async def test_a_recording_needs_ffmpeg(shared):
    with pytest.raises(DaytonaError) as missing:
        await done(shared.computer_use.recording.start())
    assert (missing.value.status_code, missing.value.code) == (503, "RECORDING_FFMPEG_NOT_FOUND")
    assert shared.computer_use.recording.list().recordings == []
    with pytest.raises(DaytonaError, match="Computer-use functionality is not available") as none:
        shared.computer_use.accessibility.get_tree()
    assert none.value.status_code == 503
