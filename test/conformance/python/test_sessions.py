"""Sessions, by both clients: what input, errors and deletion are for them."""

import asyncio
import inspect
import time
import uuid

import pytest
from daytona import AsyncDaytona, Daytona, DaytonaValidationError, SessionExecuteRequest
from daytona.common.errors import (
    DaytonaCommandAlreadyCompletedError,
    DaytonaProcessExecutionTimeoutError,
    DaytonaProcessNotFoundError,
    DaytonaSessionEndedError,
)


async def done(value):
    """What either client returns."""
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=["sync", "async"])
async def process(request, daytona: Daytona, async_daytona: AsyncDaytona):
    client = daytona if request.param == "sync" else async_daytona
    sandbox = await done(client.create(timeout=120))
    try:
        yield sandbox.process
    finally:
        await done(sandbox.delete())


async def run(process, session: str, command: str, **options):
    return await done(process.execute_session_command(session, SessionExecuteRequest(command=command, **options)))


async def ended(process, session: str, command: str) -> int:
    deadline = time.monotonic() + 20
    while (code := (await done(process.get_session_command(session, command))).exit_code) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return code


async def test_input_goes_to_asynchronous_commands_and_is_noted(process):
    await done(process.create_session("s"))
    for options, want in [({}, "typed\ngot typed\n"), ({"suppress_input_echo": True}, "got typed\n")]:
        started = await run(process, "s", "read line; echo got $line", run_async=True, **options)
        await done(process.send_session_command_input("s", started.cmd_id, "typed"))
        assert await ended(process, "s", started.cmd_id) == 0
        logs = await done(process.get_session_command_logs("s", started.cmd_id))
        assert (logs.output, logs.stdout, logs.stderr) == (want, want, "")
        with pytest.raises(DaytonaCommandAlreadyCompletedError):
            await done(process.send_session_command_input("s", started.cmd_id, "more"))
    synchronous = await run(process, "s", "cat; echo end; echo wrong >&2; exit_code() { return 3; }; exit_code")
    assert (synchronous.exit_code, synchronous.stdout, synchronous.stderr) == (3, "end\n", "wrong\n")
    assert sorted(synchronous.output.splitlines()) == ["end", "wrong"]


async def test_commands_are_of_any_length(process):
    await done(process.create_session("s"))
    text = "x" * (1 << 20)
    assert (await run(process, "s", f"v='{text}'; echo ${{#v}}")).stdout == f"{1 << 20}\n"
    assert (await done(process.exec(f"v='{text}'; echo ${{#v}}"))).result == f"{1 << 20}\n"


async def test_what_ended_and_what_never_was_are_told_apart(process):
    name = uuid.uuid4().hex
    for call in [process.get_session, process.delete_session]:
        with pytest.raises(DaytonaProcessNotFoundError):
            await done(call(name))
    await done(process.create_session(name))
    with pytest.raises(DaytonaProcessNotFoundError):
        await done(process.get_session_command(name, "none"))
    assert (await run(process, name, "exit 5")).exit_code == 5
    with pytest.raises(DaytonaSessionEndedError):
        await run(process, name, "true")
    await done(process.delete_session(name))

    for call in [process.create_session, process.delete_session]:
        with pytest.raises(DaytonaValidationError):
            await done(call("entrypoint"))
    with pytest.raises(DaytonaValidationError):
        await run(process, "entrypoint", "true")


async def test_deleting_a_session_ends_the_command_that_is_awaited(process):
    await done(process.create_session("s"))

    # Of its own thread, since a synchronous client blocks.
    request = SessionExecuteRequest(command="sleep 1000")
    call = asyncio.to_thread(process.execute_session_command, "s", request)
    awaited = asyncio.create_task(call if type(process).__name__ == "Process" else run(process, "s", "sleep 1000"))
    while not (await done(process.get_session("s"))).commands:
        await asyncio.sleep(0.05)
    began = time.monotonic()
    await done(process.delete_session("s"))
    assert time.monotonic() - began < 10
    with pytest.raises(DaytonaSessionEndedError):
        await awaited
    await done(process.create_session("s"))


async def test_timeouts_and_names_of_variables(process):
    began = time.monotonic()
    with pytest.raises(DaytonaProcessExecutionTimeoutError, match="timeout"):
        await done(process.exec("trap '' TERM; sleep 1000", timeout=1))
    assert time.monotonic() - began < 6
    with pytest.raises(DaytonaValidationError):
        await done(process.exec("true", env={"not-a-name": "x"}))
    with pytest.raises(DaytonaValidationError):
        await done(process.exec("  \n"))
