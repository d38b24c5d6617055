"""The files of a sandbox by the synchronous and the asynchronous client, with the same tests."""

import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from daytona import DaytonaConflictError, DaytonaError, DaytonaNotFoundError, FileDownloadRequest, FileUpload

from conftest import done, listed

pytestmark = pytest.mark.methods


@pytest.fixture
def fs(either):
    return either.fs


async def test_one_file(fs, folder: str, tmp_path: Path):
    content = os.urandom(1 << 20)
    await done(fs.upload_file(content, f"{folder}/new/one"))
    assert await done(fs.download_file(f"{folder}/new/one")) == content
    (tmp_path / "source").write_bytes(content[:1000])
    await done(fs.upload_file(str(tmp_path / "source"), f"{folder}/two"))
    await done(fs.download_file(f"{folder}/two", str(tmp_path / "back")))
    assert (tmp_path / "back").read_bytes() == content[:1000]
    with pytest.raises(DaytonaError, match="no such file"):
        await done(fs.download_file(f"{folder}/none"))


async def test_files_together(fs, folder: str, tmp_path: Path):
    (tmp_path / "source").write_bytes(b"from disk")
    uploads = [FileUpload(b"\0\xff", f"{folder}/a/1"), FileUpload(str(tmp_path / "source"), f"{folder}/2")]
    await done(fs.upload_files(uploads))
    wanted = [
        FileDownloadRequest(f"{folder}/a/1"),
        FileDownloadRequest(f"{folder}/2", str(tmp_path / "back")),
        FileDownloadRequest(f"{folder}/none"),
    ]
    one, two, none = await done(fs.download_files(wanted))
    assert (one.source, one.result, one.error) == (f"{folder}/a/1", b"\0\xff", None)
    assert (tmp_path / "back").read_bytes() == b"from disk" and two.result == str(tmp_path / "back")
    assert none.result is None and none.error_details.code == "FILE_NOT_FOUND"


async def test_streams(fs, folder: str):
    content, sent, got = os.urandom(3 << 20), [], []
    await done(
        fs.upload_file_stream(io.BytesIO(content), f"{folder}/s", on_progress=lambda p: sent.append(p.bytes_sent))
    )
    stream = await done(fs.download_file_stream(f"{folder}/s", on_progress=lambda p: got.append(p)))
    assert b"".join(await listed(stream)) == content
    assert sent == sorted(sent) and sent[-1] == len(content) and len(sent) > 1
    assert (got[-1].bytes_received, got[-1].total_bytes) == (len(content), len(content)) and len(got) > 1


async def test_streams_can_be_cancelled(fs, folder: str):
    cancelled = threading.Event()
    await done(fs.upload_file(bytes(8 << 20), f"{folder}/s"))
    with pytest.raises(DaytonaError):
        stream = await done(
            fs.download_file_stream(f"{folder}/s", on_progress=lambda _: cancelled.set(), cancel_event=cancelled)
        )
        await listed(stream)
    with pytest.raises(DaytonaError):
        await done(fs.upload_file_stream(io.BytesIO(bytes(8 << 20)), f"{folder}/t", cancel_event=cancelled))
    with pytest.raises(DaytonaNotFoundError):
        await done(fs.get_file_info(f"{folder}/t"))


async def test_an_asynchronous_source(async_daytona, shared, folder: str):
    async def parts() -> AsyncIterator[bytes]:
        for n in range(10):
            yield str(n).encode() * 100_000

    fs = (await async_daytona.get(shared.id)).fs
    await fs.upload_file_stream(parts(), f"{folder}/s")
    assert await fs.download_file(f"{folder}/s") == b"".join(str(n).encode() * 100_000 for n in range(10))


async def test_what_is_told_of_files(fs, folder: str):
    await done(fs.create_folder(f"{folder}/sub/deep", "750"))
    await done(fs.upload_file(b"12345", f"{folder}/sub/five"))
    info = await done(fs.get_file_info(f"{folder}/sub/five"))
    assert (info.name, info.size, info.is_dir, info.owner, info.group) == ("five", 5, False, "daytona", "daytona")
    deep = await done(fs.get_file_info(f"{folder}/sub/deep"))
    assert (deep.is_dir, deep.mode, deep.permissions) == (True, "drwxr-x---", "0750")
    assert sorted(f.name for f in await done(fs.list_files(f"{folder}/sub"))) == ["deep", "five"]
    await done(fs.upload_file(b"", f"{folder}/sub/deep/empty"))
    assert len(await done(fs.list_files(folder, depth=1))) == 1
    assert len(await done(fs.list_files(folder, depth=3))) == 4
    await done(fs.set_file_permissions(f"{folder}/sub/five", mode="640", owner="daytona", group="daytona"))
    assert (await done(fs.get_file_info(f"{folder}/sub/five"))).permissions == "0640"


async def test_moving_and_deleting(fs, folder: str):
    await done(fs.upload_file(b"x", f"{folder}/a/x"))
    await done(fs.move_files(f"{folder}/a", f"{folder}/b"))
    with pytest.raises(DaytonaNotFoundError):
        await done(fs.move_files(f"{folder}/a", f"{folder}/c"))
    await done(fs.upload_file(b"y", f"{folder}/y"))
    with pytest.raises(DaytonaConflictError):
        await done(fs.move_files(f"{folder}/b/x", f"{folder}/y"))
    with pytest.raises(DaytonaError):
        await done(fs.delete_file(f"{folder}/b"))
    await done(fs.delete_file(f"{folder}/b", recursive=True))
    await done(fs.delete_file(f"{folder}/y"))
    assert await done(fs.list_files(folder)) == []


async def test_search_and_replace(fs, folder: str):
    await done(fs.upload_file(b"one needle\nno\nneedle two needle\n", f"{folder}/a.txt"))
    await done(fs.upload_file(b"needle", f"{folder}/sub/b.md"))
    found = await done(fs.find_files(folder, "needle"))
    assert sorted((os.path.basename(m.file), m.line, m.content) for m in found) == [
        ("a.txt", 1, "one needle"),
        ("a.txt", 3, "needle two needle"),
        ("b.md", 1, "needle"),
    ]
    named = await done(fs.search_files(folder, "*.md"))
    assert [f.removeprefix("/home/daytona/") for f in named.files] == [f"{folder}/sub/b.md"]
    changed = await done(fs.replace_in_files([f"{folder}/a.txt", f"{folder}/none"], "needle", "pin"))
    assert [(r.success, bool(r.error)) for r in changed] == [(True, False), (False, True)]
    assert await done(fs.download_file(f"{folder}/a.txt")) == b"one pin\nno\npin two pin\n"
