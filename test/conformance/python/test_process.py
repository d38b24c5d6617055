"""Commands, code and sessions."""

import asyncio
import time
import uuid

import pytest
from daytona import (
    CodeRunParams,
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaError,
    DaytonaTimeoutError,
    Sandbox,
    SessionExecuteRequest,
)


def test_exec_tells_output_and_exit_code(shared: Sandbox):
    answer = shared.process.exec("echo out; echo err >&2; exit 3")
    assert answer.exit_code == 3
    assert sorted(answer.result.split()) == ["err", "out"]


def test_exec_takes_cwd_env_and_the_sandbox_variables(shared: Sandbox):
    answer = shared.process.exec('echo "$PWD $A $GIVEN"', cwd="/tmp", env={"A": "b c"})
    assert answer.result == "/tmp b c at creation\n"


def test_exec_that_takes_too_long_ends_with_all_it_started(shared: Sandbox):
    mark = uuid.uuid4().hex
    began = time.time()
    with pytest.raises(DaytonaTimeoutError):
        shared.process.exec(f"(sleep 987 {mark} || true) & sleep 988", timeout=1)
    assert time.time() - began < 10
    assert "sleep 98" not in shared.process.exec("ps ax").result


@pytest.mark.parametrize("text", ["äöü €", "日本語", "'\"`$\\", "a\tb"])
def test_exec_keeps_text_as_it_is(shared: Sandbox, text: str):
    assert shared.process.exec('printf %s "$T"', env={"T": text}).result == text


def test_exec_of_a_million_lines(shared: Sandbox):
    answer = shared.process.exec("seq 1000000")
    assert answer.result.count("\n") == 1_000_000
    assert answer.result.endswith("1000000\n")


HOG = "held = []\nwhile True:\n    held.append(bytearray(64 << 20))"


def test_what_is_killed_for_memory_says_so(shared: Sandbox):
    line = f"killed: the sandbox's memory limit of {shared.memory} GiB was reached"
    ran = shared.process.code_run(HOG)
    assert (ran.exit_code, line in ran.result) == (137, True)
    answer = shared.process.exec(f"python3 -c '{HOG}'")
    assert (answer.exit_code, line in answer.result) == (137, True)
    session = uuid.uuid4().hex
    shared.process.create_session(session)
    code = shared.process.execute_session_command(session, SessionExecuteRequest(command=f"python3 -c '{HOG}'"))
    assert (code.exit_code, line in code.stderr) == (137, True)
    after = shared.process.execute_session_command(session, SessionExecuteRequest(command="(exit 137)"))
    assert (after.exit_code, after.stderr) == (137, "")
    shared.process.delete_session(session)


def test_exec_of_binary_output_answers(shared: Sandbox):
    answer = shared.process.exec("head -c 100000 /dev/urandom")
    assert answer.exit_code == 0
    assert len(answer.result) > 10_000


def test_exec_of_a_missing_command(shared: Sandbox):
    assert shared.process.exec("no-such-command").exit_code == 127


@pytest.mark.parametrize("command", ["", "echo a\0b"])
def test_exec_refuses_what_is_no_command(shared: Sandbox, command: str):
    with pytest.raises(DaytonaError):
        shared.process.exec(command)


def test_exec_survives_a_killed_shell(shared: Sandbox):
    assert shared.process.exec("kill -9 $$").exit_code != 0
    assert shared.process.exec("echo alive").result == "alive\n"


def test_code_run_of_python(shared: Sandbox):
    answer = shared.process.code_run(
        "import os, sys\nprint(sys.argv[1:], os.environ['A'])",
        params=CodeRunParams(argv=["x", "y z"], env={"A": "b"}),
    )
    assert (answer.exit_code, answer.result) == (0, "['x', 'y z'] b\n")
    failed = shared.process.code_run("1/0")
    assert failed.exit_code != 0
    assert "ZeroDivisionError" in failed.result


def test_code_run_of_other_languages(daytona: Daytona):
    programs = {"javascript": "console.log(6 * 7)", "typescript": "const n: number = 42; console.log(n)"}
    for language, code in programs.items():
        sandbox = daytona.create(CreateSandboxFromSnapshotParams(language=language))
        try:
            answer = sandbox.process.code_run(code)
            assert (answer.exit_code, answer.result) == (0, "42\n"), language
        finally:
            sandbox.delete()


def test_a_session_keeps_its_state(shared: Sandbox):
    session = f"s-{uuid.uuid4().hex[:8]}"
    shared.process.create_session(session)
    try:
        run = shared.process.execute_session_command
        assert run(session, SessionExecuteRequest(command="cd /tmp && export KEPT=yes")).exit_code == 0
        answer = run(session, SessionExecuteRequest(command="echo $PWD $KEPT; echo oops >&2; false"))
        assert answer.exit_code == 1
        assert answer.stdout == "/tmp yes\n"
        assert answer.stderr == "oops\n"
        info = shared.process.get_session(session)
        assert [c.exit_code for c in info.commands] == [0, 1]
        assert shared.process.get_session_command(session, answer.cmd_id).command.startswith("echo $PWD")
        assert session in [s.session_id for s in shared.process.list_sessions()]
        with pytest.raises(DaytonaError):
            shared.process.create_session(session)
    finally:
        shared.process.delete_session(session)
    with pytest.raises(DaytonaError):
        shared.process.get_session(session)


def test_a_session_command_takes_input(shared: Sandbox):
    session = f"s-{uuid.uuid4().hex[:8]}"
    shared.process.create_session(session)
    try:
        started = shared.process.execute_session_command(
            session, SessionExecuteRequest(command="read line; echo got $line", run_async=True)
        )
        assert started.exit_code is None
        shared.process.send_session_command_input(session, started.cmd_id, "hello\n")
        deadline = time.time() + 10
        while shared.process.get_session_command(session, started.cmd_id).exit_code is None:
            assert time.time() < deadline
            time.sleep(0.05)
        assert "got hello" in shared.process.get_session_command_logs(session, started.cmd_id).stdout
    finally:
        shared.process.delete_session(session)


async def test_session_logs_can_be_followed(shared: Sandbox):
    session = f"s-{uuid.uuid4().hex[:8]}"
    shared.process.create_session(session)
    try:
        command = "for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.2; done"
        request = SessionExecuteRequest(command=command, run_async=True)
        started = shared.process.execute_session_command(session, request)
        out: list[str] = []
        err: list[str] = []
        follow = shared.process.get_session_command_logs_async(session, started.cmd_id, out.append, err.append)
        await asyncio.wait_for(follow, 15)
        assert "".join(out).split() == ["out1", "out2", "out3"]
        assert "".join(err).split() == ["err1", "err2", "err3"]
        assert len(out) > 1, "it came at once"
    finally:
        shared.process.delete_session(session)


def test_the_entrypoint_has_a_session(shared: Sandbox):
    session = shared.process.get_entrypoint_session()
    assert session.commands
    shared.process.get_entrypoint_logs()


def test_slow_commands_do_not_hold_up_others(shared: Sandbox):
    session = f"s-{uuid.uuid4().hex[:8]}"
    shared.process.create_session(session)
    try:
        shared.process.execute_session_command(session, SessionExecuteRequest(command="sleep 30", run_async=True))
        began = time.time()
        shared.process.exec("true")
        assert time.time() - began < 2
    finally:
        shared.process.delete_session(session)


def test_exec_of_commands_of_any_length(shared: Sandbox):
    for length in (100_000, 131_071, 131_072, 3 << 20):
        word = "x" * length
        said = shared.process.exec(f"v={word}; echo ${{#v}} $0 {word[:3]}; exit 4")
        assert said.result.split()[0] == str(length)
        assert said.exit_code == 4


def test_login_shells_have_what_commands_have(shared: Sandbox):
    show = "'printenv PATH GIVEN'"
    here = shared.process.exec("printenv PATH GIVEN").result
    assert here.endswith("at creation\n")
    for shell in ("bash -lc", "env -i HOME=$HOME bash -lc", "sudo -i sh -lc", "sudo su - -c", "sudo su - daytona -c"):
        assert shared.process.exec(f"{shell} {show}").result == here, shell
    assert shared.process.exec("su nobody -s /bin/sh -c 'cat /dev/.daytona/profile'").exit_code != 0


def test_added_certificates_are_trusted_without_variables(shared: Sandbox):
    """The server of these tests has --extra-ca system."""
    with_variables = shared.process.exec("grep -c BEGIN.CERT $SSL_CERT_FILE").result
    assert int(with_variables) > 1
    for shell in ("env -i /bin/sh -c", "sudo -i sh -c"):
        store = shared.process.exec(f"{shell} 'grep -c BEGIN.CERT /etc/ssl/certs/ca-certificates.crt'")
        assert store.result == with_variables, shell


def test_logs_come_as_text_to_sdks_before_0_163(shared: Sandbox):
    session = f"text-{uuid.uuid4().hex[:8]}"
    shared.process.create_session(session)
    command = shared.process.execute_session_command(session, SessionExecuteRequest(command="echo out"))
    client = shared.process._api_client
    answer = client.get_session_command_logs_without_preload_content(
        session, command.cmd_id, _headers={"Accept": "text/plain"}
    )
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.data == b"\x01\x01\x01out\n"
    shared.process.delete_session(session)
