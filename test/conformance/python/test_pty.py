"""Terminals, by both clients: each method of theirs is called."""

import asyncio
import time
import uuid

import pytest
from daytona import AsyncSandbox, DaytonaConflictError, DaytonaError, DaytonaNotFoundError, Sandbox
from daytona.common.errors import DaytonaSessionEndedError
from daytona.common.pty import PtySize


@pytest.fixture
def id() -> str:
    return f"pty-{uuid.uuid4().hex[:8]}"


def read_until(handle, text: bytes) -> bytes:
    seen = b""
    for data in handle:
        seen += data
        if text in seen:
            return seen
    raise AssertionError(f"no {text!r} in {seen!r}")


def test_a_terminal_is_made_used_left_and_ended(shared: Sandbox, id: str):
    process = shared.process
    handle = process.create_pty_session(id, cwd="/tmp", envs={"WHO": "ä b"}, pty_size=PtySize(rows=30, cols=100))
    assert handle.session_id == id and handle.is_connected() and handle.exit_code is None
    with pytest.raises(DaytonaConflictError):
        process.create_pty_session(id)

    info = process.get_pty_session_info(id)
    assert (info.id, info.cwd, info.cols, info.rows, info.active, info.lazy_start) == (id, "/tmp", 100, 30, True, False)
    assert info.envs == {"WHO": "ä b", "TERM": "xterm-256color"}
    assert id in [one.id for one in process.list_pty_sessions()]

    handle.send_input('echo "<$WHO>" $(stty size) $PWD $((6 * 7))\n')
    read_until(handle, "<ä b> 30 100 /tmp 42\r\n".encode())
    resized = handle.resize(PtySize(rows=20, cols=90))
    assert (resized.rows, resized.cols) == (20, 90)
    assert process.resize_pty_session(id, PtySize(rows=21, cols=91)).cols == 91
    handle.send_input(b"stty size\n")
    read_until(handle, b"21 91\r\n")
    handle.disconnect()
    assert not handle.is_connected()

    again = process.connect_pty_session(id)
    again.wait_for_connection()
    assert b"21 91\r\n" in read_until(again, b"21 91\r\n")  # what was there before
    again.send_input("exit 3\n")
    ended = again.wait(timeout=30)
    assert (ended.exit_code, ended.error) == (3, "non-zero exit") == (again.exit_code, again.error)
    assert not again.is_connected()
    with pytest.raises(DaytonaNotFoundError):
        process.get_pty_session_info(id)
    with pytest.raises(DaytonaSessionEndedError):
        process.resize_pty_session(id, PtySize(rows=20, cols=90))
    with pytest.raises(DaytonaError, match="does not exist"):
        process.connect_pty_session(id)


def test_the_end_without_an_error(shared: Sandbox, id: str):
    handle = shared.process.create_pty_session(id)
    handle.send_input("echo last; exit\n")
    output = []
    ended = handle.wait(on_data=output.append, timeout=30)
    assert (ended.exit_code, ended.error) == (0, None)
    assert b"last\r\n" in b"".join(output)


def test_all_output_comes_in_whole_characters(shared: Sandbox, id: str):
    handle = shared.process.create_pty_session(id)
    handle.send_input('for i in $(seq 20000); do echo "$i äö€😀"; done; exit\n')
    output = []
    assert handle.wait(on_data=lambda data: output.append(data.decode()), timeout=60).exit_code == 0
    text = "".join(output)
    assert "20000 äö€😀\r\n" in text
    assert all(f"\n{n} äö€😀\r\n" in text for n in range(2, 20001, 101))


def test_killing_a_terminal_ends_what_it_runs(shared: Sandbox, id: str):
    handle = shared.process.create_pty_session(id)
    handle.send_input("sleep 12345 & echo beg''un; cat\n")
    read_until(handle, b"begun")
    handle.kill()
    ended = handle.wait(timeout=30)
    assert (ended.exit_code, ended.error) == (137, "SIGKILL")
    assert shared.process.exec("pgrep -f -x 'sleep 12345'").exit_code == 1
    with pytest.raises(DaytonaNotFoundError):
        shared.process.kill_pty_session(id)
    other = shared.process.create_pty_session(id)
    shared.process.kill_pty_session(id)
    assert other.wait(timeout=30).exit_code == 137


@pytest.fixture
async def own(async_daytona):
    sandbox = await async_daytona.create(timeout=120)
    yield sandbox
    await sandbox.delete()


async def test_the_asynchronous_client(own: AsyncSandbox, id: str):
    process = own.process
    seen = bytearray()

    async def shows(text: bytes):
        async with asyncio.timeout(30):
            while text not in seen:
                await asyncio.sleep(0.01)

    handle = await process.create_pty_session(
        id, on_data=seen.extend, envs={"WHO": "me"}, pty_size=PtySize(rows=30, cols=100)
    )
    await handle.wait_for_connection()
    assert handle.session_id == id and handle.is_connected()
    with pytest.raises(DaytonaConflictError):
        await process.create_pty_session(id, on_data=seen.extend)
    await handle.send_input("echo $WHO $(stty size)\n")
    await shows(b"me 30 100\r\n")
    assert (await process.get_pty_session_info(id)).cols == 100
    assert [one.id for one in await process.list_pty_sessions()] == [id]
    assert (await handle.resize(PtySize(rows=20, cols=90))).rows == 20
    assert (await process.resize_pty_session(id, PtySize(rows=21, cols=91))).rows == 21
    await handle.disconnect()

    seen.clear()
    again = await process.connect_pty_session(id, on_data=seen.extend)
    await again.wait_for_connection()
    await again.send_input("stty size; exit 130\n")
    ended = await again.wait()
    assert (ended.exit_code, ended.error) == (130, "Ctrl+C") == (again.exit_code, again.error)
    assert b"21 91\r\n" in seen

    killed = await process.create_pty_session(id, on_data=seen.extend)
    await killed.kill()
    assert (await killed.wait()).exit_code == 137
    with pytest.raises(DaytonaNotFoundError):
        await process.kill_pty_session(id)
    other = await process.create_pty_session(id, on_data=seen.extend)
    await process.kill_pty_session(id)
    assert (await other.wait()).exit_code == 137


def test_a_sandbox_with_busy_terminals_forks_and_stops(sandbox: Sandbox, id: str):
    watched = sandbox.process.create_pty_session(id)
    watched.send_input("while :; do echo busy; done\n")
    read_until(watched, b"busy\r\nbusy\r\n")
    started = time.monotonic()
    fork = sandbox.fork()
    try:
        assert fork.process.list_pty_sessions() == []
        assert [one.id for one in sandbox.process.list_pty_sessions()] == [id]
    finally:
        fork.delete()
    read_until(watched, b"busy\r\nbusy\r\n")  # it goes on
    sandbox.stop()
    assert time.monotonic() - started < 60
    watched.wait(timeout=30)
    assert not watched.is_connected()
