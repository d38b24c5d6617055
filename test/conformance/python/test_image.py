"""All that an Image can say, without blocking too, for snapshots and for sandboxes."""

import base64
import hashlib
import os
import time
import uuid
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from daytona import (
    AsyncDaytona,
    AsyncSandbox,
    CreateSandboxFromImageParams,
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    Image,
    Resources,
)
from daytona.common.image import SUPPORTED_PYTHON_SERIES
from obstore.exceptions import BaseError
from obstore.store import S3Store

from conftest import IMAGE

SMALL = Resources(cpu=1, memory=1, disk=3)


def wheel(folder: Path, name: str, version: str) -> None:
    """Makes a wheel with one module that tells its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        records.append(f"{path},sha256={digest},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*records, f"{info}/RECORD,,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as z:
        for path, text in files.items():
            z.writestr(zipfile.ZipInfo(path), text)


def index(folder: Path, name: str, *versions: str) -> None:
    """Makes a package index, which pip reads by file URLs."""
    for version in versions:
        wheel(folder / name, name, version)
    links = "".join(f'<a href="{f.name}">{f.name}</a>' for f in sorted((folder / name).glob("*.whl")))
    (folder / name / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the images are made with."""
    work = tmp_path_factory.mktemp("work")
    wheel(work / "links", "linked", "1.0")
    index(work / "index", "alpha", "1.0", "2.0rc1")
    index(work / "extra", "beta", "3.0")
    (work / "requirements.txt").write_text("alpha\n")
    (work / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["alpha>=1"]\n'
        '[project.optional-dependencies]\nmore = ["beta==3.0"]\nother = ["not-to-be-had"]\n'
    )
    (work / "app" / "deep").mkdir(parents=True)
    (work / "app" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (work / "app" / "run.sh").chmod(0o755)
    (work / "app" / "deep" / "data").write_text("deep\n")
    (work / "app" / "link").symlink_to("deep/data")
    (work / "note.txt").write_text("a note\n")
    (work / "Dockerfile").write_text(
        f"ARG TAG=none\nFROM {IMAGE} AS one\nRUN echo built >/built\n"
        f"FROM {IMAGE}\nCOPY --from=one /built /built\nCOPY app /app\nCOPY note.txt *.toml /notes/\nWORKDIR /notes\n"
    )
    return work


def everything(work: Path) -> Image:
    """An image that uses every method of the builder."""
    sources = {
        "index_url": "file:///pip/index",
        "extra_index_urls": ["file:///pip/extra"],
        "extra_options": "--no-cache-dir",
    }
    return (
        Image.base(IMAGE)
        .add_local_dir(str(work / "index"), "/pip/index")
        .add_local_dir(str(work / "extra"), "/pip/extra")
        .add_local_dir(str(work / "links"), "/pip/links")
        .pip_install("linked", find_links=["/pip/links"], extra_options="--no-index")
        .pip_install_from_requirements(str(work / "requirements.txt"), pre=True, **sources)
        .pip_install_from_pyproject(
            str(work / "pyproject.toml"), ["more"], index_url="file:///pip/index", extra_index_url="file:///pip/extra"
        )
        .add_local_file(str(work / "note.txt"), "/srv/")
        .add_local_dir(str(work / "app"), "/srv/app")
        .run_commands("echo one >/srv/one && echo 'two words' >>/srv/one", ["sh", "-c", "echo listed >/srv/listed"])
        .env({"COLOUR": "deep blue", "QUOTED": "it's $HOME"})
        .dockerfile_commands(["ARG KIND=extra", "RUN echo $KIND >/srv/extra", "COPY note.txt /srv/copied"], str(work))
        .workdir("/srv/app")
        .entrypoint(["sh", "-c"])
        .cmd(["echo started >/tmp/started; exec sleep infinity"])
    )


def slow_step() -> str:
    """A command that no cache has. The SDKs tell nothing of a build that is over within their first second."""
    return f"sleep 2 # {uuid.uuid4()}"


CHECK = (
    "python3 -c 'import linked, alpha, beta; print(linked.VERSION, alpha.VERSION, beta.VERSION)' && pwd && ./run.sh "
    '&& cat link ../note.txt ../copied ../one ../listed ../extra && echo "$COLOUR $QUOTED" && cat /tmp/started'
)
CHECKED = [
    *("1.0 2.0rc1 3.0", "/srv/app", "ran", "deep", "a note", "a note", "one", "two words", "listed", "extra"),
    *("deep blue it's $HOME", "started", ""),
]


def test_everything_in_a_snapshot(daytona: Daytona, work: Path, name: str) -> None:
    lines: list[str] = []
    image = everything(work).run_commands(slow_step())
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(name=name, image=image, resources=SMALL), on_logs=lines.append
    )
    try:
        assert snapshot.state == "active"
        assert any("pip install linked" in line for line in lines), lines
        sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
        try:
            assert sandbox.process.exec(CHECK).result.split("\n") == CHECKED
        finally:
            sandbox.delete()
    finally:
        daytona.snapshot.delete(snapshot)


@pytest.fixture
async def built(async_daytona: AsyncDaytona, work: Path) -> AsyncIterator[tuple[AsyncSandbox, list[str]]]:
    lines: list[str] = []
    # Another text than the snapshot's, so that it is built; its first steps are cached.
    image = everything(work).env({"ASYNC": "yes"}).run_commands(slow_step())
    sandbox = await async_daytona.create(
        CreateSandboxFromImageParams(image=image, resources=SMALL), timeout=120, on_snapshot_create_logs=lines.append
    )
    yield sandbox, lines
    await sandbox.delete()


async def test_everything_in_a_sandbox_of_its_own(built: tuple[AsyncSandbox, list[str]]) -> None:
    sandbox, lines = built
    assert (await sandbox.process.exec(CHECK + " && echo $ASYNC")).result.split("\n") == [*CHECKED[:-1], "yes", ""]
    assert any("CACHED" in line for line in lines), lines


async def test_a_dockerfile_in_a_snapshot(async_daytona: AsyncDaytona, work: Path, name: str) -> None:
    lines: list[str] = []
    image = Image.from_dockerfile(str(work / "Dockerfile")).run_commands(slow_step())
    snapshot = await async_daytona.snapshot.create(CreateSnapshotParams(name=name, image=image), on_logs=lines.append)
    try:
        assert any("COPY app /app" in line for line in lines), lines
        sandbox = await async_daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
        try:
            said = await sandbox.process.exec("cat /built /app/link && ls && stat -c %a /app/run.sh")
            assert said.result.split("\n") == ["built", "deep", "note.txt", "pyproject.toml", "755", ""]
        finally:
            await sandbox.delete()
    finally:
        await async_daytona.snapshot.delete(snapshot)


@pytest.mark.parametrize("series", SUPPORTED_PYTHON_SERIES)
def test_each_series_of_debian_slim_has_its_base(daytona: Daytona, series: str, name: str) -> None:
    first = Image.debian_slim(series).dockerfile().split("\n")[0]
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(name=name, image=Image.base(first.removeprefix("FROM "))), on_logs=print
    )
    daytona.snapshot.delete(snapshot)
    assert snapshot.state == "active"


def test_more_than_100_megabytes_are_sent_in_parts_and_only_once(daytona: Daytona, tmp_path: Path) -> None:
    big = tmp_path / "big"
    block = os.urandom(1 << 20)
    with big.open("wb") as f:
        for _ in range(101):
            f.write(block)
    image = Image.base(IMAGE).add_local_file(str(big), "/big")
    sandbox = daytona.create(CreateSandboxFromImageParams(image=image, resources=SMALL), timeout=120)
    try:
        digest = hashlib.sha256(big.read_bytes()).hexdigest()
        assert sandbox.process.exec("sha256sum /big").result.split()[0] == digest
    finally:
        sandbox.delete()
    began = time.monotonic()
    daytona.create(CreateSandboxFromImageParams(image=image, resources=SMALL), timeout=120).delete()
    assert time.monotonic() - began < 5


def test_credentials_of_uploads_are_for_the_own_prefix_and_short(daytona: Daytona) -> None:
    access = daytona._object_storage_api.get_push_access()

    def store(token: str) -> S3Store:
        return S3Store(
            bucket=access.bucket,
            endpoint=access.storage_url,
            region=access.region,
            access_key_id=access.access_key,
            secret_access_key=access.secret,
            session_token=token,
            retry_config={"max_retries": 0},
        )

    own = store(access.session_token)
    key = f"{access.organization_id}/conformance/context.tar"
    own.put(key, b"x" * 11, chunk_size=5 << 20)
    assert own.head(key)["size"] == 11
    with pytest.raises(BaseError, match="403|AccessDenied|Forbidden"):
        own.put("00000000-0000-4000-8000-000000000000/conformance/context.tar", b"x")
    with pytest.raises(BaseError, match="403|ExpiredToken|Forbidden"):
        store(access.session_token[:-2]).put(key, b"x")
