"""Language servers, by both clients: each method of theirs is called."""

import inspect

import pytest
from daytona import AsyncDaytona, Daytona, DaytonaError, DaytonaValidationError, LspCompletionPosition, LspLanguageId
from daytona.common.errors import DaytonaLspServerNotInitializedError

SOURCE = b'''import os


class Greeter:
    """Says hello."""

    def greet(self, name):
        return "hello " + name


g = Greeter()
g.
'''


async def done(value):
    """What either client returns."""
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=["sync", "async"])
async def box(request, daytona: Daytona, async_daytona: AsyncDaytona):
    client = daytona if request.param == "sync" else async_daytona
    sandbox = await done(client.create(timeout=120))
    try:
        yield sandbox
    finally:
        await done(sandbox.delete())


async def test_a_project_from_the_start_to_the_stop(box):
    path = "e2e-lsp-project/sample file é.py"
    await done(box.fs.upload_file(SOURCE, path))
    home = (await done(box.get_user_home_dir())).rstrip("/")
    server = box.create_lsp_server(LspLanguageId.PYTHON, "e2e-lsp-project")

    with pytest.raises(DaytonaLspServerNotInitializedError):
        await done(server.did_open(path))
    await done(server.start())
    await done(server.start())
    await done(server.did_open(path))

    symbols = {s.name: s for s in await done(server.document_symbols(path))}
    greeter = symbols["Greeter"]
    assert (greeter.kind, greeter.location.range.start.line) == (5, 3)
    assert greeter.location.uri == f"file://{home}/e2e-lsp-project/sample%20file%20%C3%A9.py"
    assert "greet" in symbols
    assert {s.name for s in await done(server.document_symbols(f"{home}/{path}"))} == set(symbols)

    found = await done(server.sandbox_symbols("greeter"))
    assert [(s.name, s.location.uri) for s in found] == [("Greeter", greeter.location.uri)]
    assert [s.name for s in await done(server.workspace_symbols("Greeter"))] == ["Greeter"]
    assert await done(server.sandbox_symbols("NobodyHasThis")) == []

    completions = await done(server.completions(path, LspCompletionPosition(line=11, character=2)))
    assert completions.is_incomplete is False
    assert "greet" in {item.insert_text for item in completions.items}

    # What is on the disk counts, not what was opened.
    await done(box.fs.upload_file(b"class Changed:\n    pass\n", path))
    assert [s.name for s in await done(server.document_symbols(path))] == ["Changed"]

    user = await done(box.process.exec("ps -o user= -C pylsp"))
    assert user.result.split() == ["daytona"]
    await done(box.process.exec("pkill -9 -x pylsp; while pgrep -x pylsp; do sleep 0.1; done; sleep 0.5"))
    assert [s.name for s in await done(server.document_symbols(path))] == ["Changed"]

    await done(server.did_close(path))
    await done(server.stop())
    assert (await done(box.process.exec("pgrep -x pylsp"))).exit_code == 1
    with pytest.raises(DaytonaLspServerNotInitializedError):
        await done(server.stop())


async def test_what_cannot_be_started_says_why(box):
    with pytest.raises(DaytonaError, match="npm install -g typescript-language-server") as missing:
        await done(box.create_lsp_server("typescript", "project").start())
    assert missing.value.status_code == 500
    with pytest.raises(DaytonaValidationError, match="languageId is one of python"):
        await done(box.create_lsp_server("cobol", "project").start())
