"""The code interpreter: Python code in contexts that keep their state."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from daytona import (
    AsyncDaytona,
    DaytonaError,
    DaytonaNotFoundError,
    DaytonaTimeoutError,
    ExecutionError,
    OutputMessage,
    Sandbox,
)
from daytona_toolbox_api_client import InterpreterContext


@pytest.fixture
def context(shared: Sandbox) -> Iterator[InterpreterContext]:
    own = shared.code_interpreter.create_context()
    yield own
    shared.code_interpreter.delete_context(own)


def test_state_stays_in_the_default_context(shared: Sandbox):
    run = shared.code_interpreter.run_code
    first = run("x = 40\ndef add(n): return x + n\nx")
    assert (first.stdout, first.stderr, first.error) == ("", "", None)
    assert run("print(add(2))").stdout == "42\n"


def test_output_comes_in_order_while_the_code_runs(shared: Sandbox, context: InterpreterContext):
    seen: list[tuple[str, str, float]] = []

    def note(stream: str):
        return lambda message: seen.append((stream, message.output, time.monotonic()))

    result = shared.code_interpreter.run_code(
        "import sys, time, subprocess\n"
        "for i in range(3):\n"
        "    print('out', i)\n"
        "    print('err', i, file=sys.stderr)\n"
        "    time.sleep(0.3)\n"
        "subprocess.run(['sh', '-c', 'echo child'])\n",
        context=context,
        on_stdout=note("out"),
        on_stderr=note("err"),
    )
    assert [(stream, text) for stream, text, _ in seen] == [
        *((stream, f"{stream} {i}\n") for i in range(3) for stream in ("out", "err")),
        ("out", "child\n"),
    ]
    assert seen[-1][2] - seen[0][2] > 0.6
    assert (result.stdout, result.stderr) == ("out 0\nout 1\nout 2\nchild\n", "err 0\nerr 1\nerr 2\n")


def test_an_error_has_name_value_and_traceback(shared: Sandbox):
    told: list[ExecutionError] = []
    result = shared.code_interpreter.run_code("def f(n):\n    return 1 / n\n\nf(0)", on_error=told.append)
    assert result.error is not None and told == [result.error]
    assert (result.error.name, result.error.value) == ("ZeroDivisionError", "division by zero")
    assert 'File "<stdin>", line 4, in <module>' in result.error.traceback
    assert "return 1 / n" in result.error.traceback
    wrong = shared.code_interpreter.run_code("x = (").error
    assert wrong is not None and wrong.name == "SyntaxError"


def test_variables_are_those_of_the_run(shared: Sandbox, context: InterpreterContext):
    show = "import os; print(os.environ.get('MINE'), os.environ['GIVEN'])"
    run = shared.code_interpreter.run_code
    assert run(show, context=context, envs={"MINE": "a b"}).stdout == "a b at creation\n"
    assert run(show, context=context).stdout == "None at creation\n"


def test_a_timeout_interrupts_and_the_state_stays(shared: Sandbox, context: InterpreterContext):
    run = shared.code_interpreter.run_code
    seen: list[OutputMessage] = []
    with pytest.raises(DaytonaTimeoutError):
        run("x = 7\nprint('begun')\nwhile True: pass", context=context, timeout=1, on_stdout=seen.append)
    assert [m.output for m in seen] == ["begun\n"]
    assert run("print(x)", context=context, timeout=0).stdout == "7\n"


def test_an_end_of_the_process_is_told(shared: Sandbox, context: InterpreterContext):
    run = shared.code_interpreter.run_code
    ended = run("x = 1\nimport os; os._exit(3)", context=context)
    assert ended.error is not None and "exit code 3" in ended.error.value
    after = run("print('on'); x", context=context)
    assert after.stdout == "on\n" and after.error is not None and after.error.name == "NameError"


def test_contexts(shared: Sandbox):
    interpreter = shared.code_interpreter
    one, two = interpreter.create_context(), interpreter.create_context(cwd="/tmp")
    assert (one.cwd, two.cwd) == (shared.get_work_dir(), "/tmp")
    assert (one.language, one.active) == ("python", True)
    assert {one.id, two.id} <= {c.id for c in interpreter.list_contexts()}
    assert interpreter.run_code("import os; x = 1; print(os.getcwd())", context=two).stdout == "/tmp\n"
    apart = interpreter.run_code("x", context=one)
    assert apart.error is not None and apart.error.name == "NameError"
    for context in (one, two):
        interpreter.delete_context(context)
    assert not {one.id, two.id} & {c.id for c in interpreter.list_contexts()}
    with pytest.raises(DaytonaNotFoundError):
        interpreter.delete_context(one)
    with pytest.raises(DaytonaError, match="does not exist"):
        interpreter.run_code("1", context=one)
    with pytest.raises(DaytonaError, match="does not exist"):
        interpreter.create_context(cwd="/no/such")


def test_large_output_and_large_code(shared: Sandbox, context: InterpreterContext):
    result = shared.code_interpreter.run_code("print('äx' * 1_000_000, end='')", context=context)
    assert result.stdout == "äx" * 1_000_000
    code = "s = '" + "y" * 1_000_000 + "'\nprint(len(s))"
    assert shared.code_interpreter.run_code(code, context=context).stdout == "1000000\n"


def test_a_stop_of_the_sandbox_ends_its_contexts(sandbox: Sandbox):
    context = sandbox.code_interpreter.create_context()
    sandbox.code_interpreter.run_code("x = 1", context=context)
    sandbox.stop()
    sandbox.start()
    assert sandbox.code_interpreter.list_contexts() == []
    assert sandbox.code_interpreter.run_code("print('x' in globals())").stdout == "False\n"


def test_empty_code_is_refused(shared: Sandbox):
    with pytest.raises(DaytonaError, match="code is missing"):
        shared.code_interpreter.run_code(" ")


async def test_twenty_contexts_at_once(async_daytona: AsyncDaytona):
    sandbox = await async_daytona.create()
    interpreter = sandbox.code_interpreter
    try:
        contexts = await asyncio.gather(*(interpreter.create_context() for _ in range(20)))
        assert len({c.id for c in await interpreter.list_contexts()}) == 20

        async def run(number: int) -> tuple[str, str]:
            await interpreter.run_code(f"import os; x = {number}", context=contexts[number])
            result = await interpreter.run_code("print(x, os.environ['E'])", context=contexts[number], envs={"E": "e"})
            return result.stdout, result.stderr

        assert await asyncio.gather(*map(run, range(20))) == [(f"{n} e\n", "") for n in range(20)]

        seen: list[str] = []
        failed = await interpreter.run_code(
            "import sys; print('o'); print('e', file=sys.stderr); raise KeyError('k')",
            on_stdout=lambda m: seen.append(m.output),
            on_stderr=lambda m: seen.append(m.output),
            on_error=lambda e: seen.append(e.name),
        )
        assert seen == ["o\n", "e\n", "KeyError"]
        assert failed.error is not None and failed.error.value == "'k'"
        with pytest.raises(DaytonaTimeoutError):
            await interpreter.run_code("import time; y = 1; time.sleep(60)", timeout=1)
        assert (await interpreter.run_code("print(y)")).stdout == "1\n"
        await interpreter.delete_context(contexts[0])
        with pytest.raises(DaytonaNotFoundError):
            await interpreter.delete_context(contexts[0])
    finally:
        await sandbox.delete()
