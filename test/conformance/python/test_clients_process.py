"""Commands and sessions by the synchronous and the asynchronous client, with the same tests."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from daytona import (
    CodeRunParams,
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    DaytonaError,
    DaytonaNotFoundError,
    Sandbox,
    SessionExecuteRequest,
)

from conftest import IMAGE, done

pytestmark = pytest.mark.methods


@pytest.fixture
def process(either):
    return either.process


@pytest.fixture
async def session(process) -> AsyncIterator[str]:
    name = f"session-{uuid.uuid4().hex[:8]}"
    await done(process.create_session(name))
    yield name
    await done(process.delete_session(name))


async def start(process, session: str, command: str) -> str:
    request = SessionExecuteRequest(command=command, run_async=True)
    started = await done(process.execute_session_command(session, request))
    assert started.exit_code is None
    return started.cmd_id


async def ended(process, session: str, command: str) -> int:
    async with asyncio.timeout(20):
        while (code := (await done(process.get_session_command(session, command))).exit_code) is None:
            await asyncio.sleep(0.05)
    return code


async def test_exec(process):
    answer = await done(process.exec("echo $PWD $A; echo err >&2; exit 7", cwd="/tmp", env={"A": "b"}))
    assert (answer.exit_code, answer.result) == (7, "/tmp b\nerr\n")
    assert answer.artifacts.stdout == answer.result
    with pytest.raises(DaytonaError, match="still running after 1s"):
        await done(process.exec("sleep 971", timeout=1))
    assert (await done(process.exec("pgrep -f 'sleep 97[1]'"))).exit_code == 1


async def test_code_run(process):
    params = CodeRunParams(argv=["x", "y"], env={"A": "b"})
    answer = await done(process.code_run("import os, sys; print(sys.argv[1:], os.environ['A'])", params))
    assert (answer.exit_code, answer.result) == (0, "['x', 'y'] b\n")
    answer = await done(process.code_run("import sys; sys.exit(3)"))
    assert answer.exit_code == 3


async def test_a_session_keeps_its_state(process, session: str):
    moved = await done(process.execute_session_command(session, SessionExecuteRequest(command="cd /tmp; A=b")))
    assert moved.exit_code == 0
    said = await done(
        process.execute_session_command(session, SessionExecuteRequest(command="echo $PWD $A; echo e >&2; false"))
    )
    assert (said.exit_code, said.stdout, said.stderr) == (1, "/tmp b\n", "e\n")
    told = await done(process.get_session(session))
    assert told.session_id == session
    assert [(c.id, c.command, c.exit_code) for c in told.commands] == [
        (moved.cmd_id, "cd /tmp; A=b", 0),
        (said.cmd_id, "echo $PWD $A; echo e >&2; false", 1),
    ]
    assert session in [s.session_id for s in await done(process.list_sessions())]
    logs = await done(process.get_session_command_logs(session, said.cmd_id))
    assert (logs.stdout, logs.stderr) == ("/tmp b\n", "e\n")


async def test_a_deleted_session_is_gone(process):
    await done(process.create_session("short"))
    await done(process.delete_session("short"))
    with pytest.raises(DaytonaNotFoundError):
        await done(process.get_session("short"))
    assert "short" not in [s.session_id for s in await done(process.list_sessions())]


async def test_input_and_following(process, session: str):
    command = await start(
        process, session, "read a; for i in 1 2 3; do echo $a$i; echo e$i >&2; sleep 0.1; done; exit 4"
    )
    out, err = [], []

    async def note(part: str) -> None:
        err.append(part)

    following = asyncio.create_task(process.get_session_command_logs_async(session, command, out.append, note))
    await done(process.send_session_command_input(session, command, "in\n"))
    await asyncio.wait_for(following, 20)
    assert [w for w in "".join(out).split() if w != "in"] == ["in1", "in2", "in3"]
    assert "".join(err).split() == ["e1", "e2", "e3"]
    assert await ended(process, session, command) == 4
    with pytest.raises(DaytonaError):
        await done(process.send_session_command_input(session, command, "late\n"))


@pytest.fixture(scope="module")
def ending(daytona: Daytona) -> Iterator[Sandbox]:
    """A sandbox whose entrypoint has an end."""
    entrypoint = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    name = f"ending-{uuid.uuid4().hex[:8]}"
    snapshot = daytona.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE, entrypoint=entrypoint))
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name), timeout=120)
    yield sandbox
    sandbox.delete()
    daytona.snapshot.delete(snapshot)


async def test_the_entrypoint(client, ending: Sandbox):
    process = (await done(client.get(ending.id))).process
    out, err = [], []
    await asyncio.wait_for(process.get_entrypoint_logs_async(out.append, err.append), 20)
    assert ("".join(out), "".join(err)) == ("out\n", "err\n")
    logs = await done(process.get_entrypoint_logs())
    assert (logs.stdout, logs.stderr) == ("out\n", "err\n")
    told = await done(process.get_entrypoint_session())
    assert [c.exit_code for c in told.commands] == [3]
