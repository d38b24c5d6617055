"""Images that are built: the declarative builder and Dockerfiles."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromImageParams,
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    DaytonaError,
    Image,
    ListSandboxesQuery,
    Resources,
)

from conftest import IMAGE


@pytest.fixture
def folder_of_files(tmp_path: Path) -> Path:
    (tmp_path / "app" / "deep").mkdir(parents=True)
    (tmp_path / "app" / "main.py").write_text("print('from the image')\n")
    (tmp_path / "app" / "deep" / "data").write_text("deep\n")
    (tmp_path / "requirements.txt").write_text("six==1.17.0\n")
    (tmp_path / "note.txt").write_text("a note\n")
    return tmp_path


@pytest.fixture
def gone(daytona: Daytona, name: str) -> Iterator[str]:
    """A name whose snapshot is deleted afterwards."""
    yield name
    daytona.snapshot.delete(daytona.snapshot.get(name))


def test_the_first_example_of_the_guide(daytona: Daytona, gone: str) -> None:
    lines: list[str] = []
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(
            name=gone,
            image=Image.debian_slim("3.12"),
            resources=Resources(cpu=2, memory=4, disk=8),
            region_id="us",
        ),
        on_logs=lines.append,
    )
    assert (snapshot.state, snapshot.cpu, snapshot.mem, snapshot.disk) == ("active", 2, 4, 8)
    assert snapshot.build_info and "FROM python:3.12" in (snapshot.build_info.dockerfile_content or "")
    assert any("pip install" in line for line in lines), lines
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=gone))
    try:
        assert sandbox.process.code_run("print(6 * 7)").result.strip() == "42"
    finally:
        sandbox.delete()


def test_everything_of_an_image(daytona: Daytona, folder_of_files: Path) -> None:
    image = (
        Image.base(IMAGE)
        .pip_install("idna==3.10")
        .pip_install_from_requirements(str(folder_of_files / "requirements.txt"))
        .add_local_file(str(folder_of_files / "note.txt"), "/srv/note.txt")
        .add_local_dir(str(folder_of_files / "app"), "/srv/app")
        .run_commands("echo ran >/srv/ran", ["sh", "-c", "echo listed >/srv/listed"])
        .env({"COLOUR": "deep blue"})
        .workdir("/srv/app")
        .dockerfile_commands(["RUN echo extra >/srv/extra"])
        .entrypoint(["sleep"])
        .cmd(["infinity"])
    )
    lines: list[str] = []
    sandbox = daytona.create(
        CreateSandboxFromImageParams(image=image, resources=Resources(cpu=1, memory=2, disk=4)),
        timeout=300,
        on_snapshot_create_logs=lines.append,
    )
    try:
        assert (sandbox.cpu, sandbox.memory, sandbox.disk) == (1, 2, 4)
        said = sandbox.process.exec(
            "cat ../note.txt deep/data ../ran ../listed ../extra && echo $COLOUR && pwd && python3 main.py "
            "&& python3 -c 'import six, idna; print(six.__version__, idna.__version__)'"
        )
        assert said.result.split("\n") == [
            *("a note", "deep", "ran", "listed", "extra", "deep blue", "/srv/app", "from the image", "1.17.0 3.10", ""),
        ]
    finally:
        sandbox.delete()
    assert any("RUN" in line for line in lines), lines

    # The same again needs no build.
    began = time.monotonic()
    again = daytona.create(CreateSandboxFromImageParams(image=image, resources=Resources(cpu=1, memory=1, disk=3)))
    took = time.monotonic() - began
    again.delete()
    assert took < 2


def test_a_dockerfile_copies_files_and_folders(daytona: Daytona, folder_of_files: Path, gone: str) -> None:
    dockerfile = folder_of_files / "Dockerfile"
    dockerfile.write_text(
        f"FROM {IMAGE} AS tools\nRUN --mount=type=cache,target=/cache echo built >/built\n"
        f"FROM {IMAGE}\nCOPY --from=tools /built /built\nCOPY app /app\nCOPY note.txt /\n"
        "RUN <<EOT\ncat /note.txt /app/deep/data /built >/all\nEOT\n"
    )
    daytona.snapshot.create(
        CreateSnapshotParams(name=gone, image=Image.from_dockerfile(str(dockerfile))), on_logs=print
    )
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=gone))
    try:
        assert sandbox.process.exec("cat /all").result == "a note\ndeep\nbuilt\n"
    finally:
        sandbox.delete()


def test_a_failed_build_names_the_line(daytona: Daytona, gone: str) -> None:
    lines: list[str] = []
    with pytest.raises(DaytonaError, match=r"line 2 of the Dockerfile \(RUN echo before; exit 7\).*exit code 7"):
        daytona.snapshot.create(
            CreateSnapshotParams(name=gone, image=Image.base(IMAGE).run_commands("echo before; exit 7")),
            on_logs=lines.append,
        )
    assert daytona.snapshot.get(gone).state == "build_failed"
    with pytest.raises(DaytonaError, match="BUILD_FAILED"):
        failing = CreateSandboxFromImageParams(
            image=Image.base(IMAGE).run_commands("exit 9"), labels={"fails": gone}, resources=Resources(cpu=1)
        )
        daytona.create(failing, timeout=60)
    (failed,) = daytona.list(ListSandboxesQuery(labels={"fails": gone}))
    assert failed.state == "build_failed"
    failed.delete()  # it stays until then, to tell why


def test_deleting_the_snapshot_ends_its_build(daytona: Daytona, name: str) -> None:
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(
            CreateSnapshotParams(name=name, image=Image.base(IMAGE).run_commands("sleep 600")),
            on_logs=lambda _: None,
            timeout=4,
        )
    began = time.monotonic()
    daytona.snapshot.delete(daytona.snapshot.get(name))
    while name in [s.name for s in daytona.snapshot.list(limit=100).items]:
        assert time.monotonic() - began < 10
        time.sleep(0.1)


async def test_builds_are_the_same_without_blocking(async_daytona: AsyncDaytona, folder_of_files: Path) -> None:
    image = Image.base(IMAGE).add_local_file(str(folder_of_files / "note.txt"), "/note.txt")
    sandbox = await async_daytona.create(CreateSandboxFromImageParams(image=image), timeout=120)
    try:
        assert (await sandbox.process.exec("cat /note.txt")).result == "a note\n"
    finally:
        await sandbox.delete()
