"""The same by the asynchronous client."""

import asyncio

from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, CreateSnapshotParams, SessionExecuteRequest

from conftest import IMAGE


async def test_the_whole_flow(async_daytona: AsyncDaytona, name: str):
    lines: list[str] = []
    snapshot = await async_daytona.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE), on_logs=lines.append)
    assert snapshot.state == "active" and lines
    sandbox = await async_daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
    try:
        answer = await sandbox.process.code_run("print(6 * 7)")
        assert answer.result == "42\n"
        await sandbox.fs.upload_file(b"async", "/tmp/a.txt")
        assert await sandbox.fs.download_file("/tmp/a.txt") == b"async"
        await sandbox.process.create_session("s")
        answer = await sandbox.process.execute_session_command("s", SessionExecuteRequest(command="echo in session"))
        assert answer.stdout == "in session\n"
        await sandbox.stop()
        await sandbox.start()
        assert (await sandbox.process.exec("cat /tmp/a.txt")).result == "async"
    finally:
        await sandbox.delete()
        await async_daytona.snapshot.delete(snapshot)


async def test_ten_sandboxes_at_once(async_daytona: AsyncDaytona):
    made = await asyncio.gather(*(async_daytona.create() for _ in range(10)))
    try:
        answers = await asyncio.gather(*(s.process.exec("hostname") for s in made))
        assert len({a.result for a in answers}) == 10
    finally:
        await asyncio.gather(*(s.delete() for s in made))
