"""Files, by both clients: each method of theirs is called, signed URLs included."""

import io
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator

import pytest
from daytona import (
    AsyncDaytona,
    Daytona,
    DaytonaConflictError,
    DaytonaError,
    FileDownloadRequest,
    FileUpload,
)
from daytona.common.errors import (
    DaytonaFileAccessDeniedError,
    DaytonaFileNotFoundError,
    DaytonaInvalidFilePathError,
)

from conftest import done

pytestmark = pytest.mark.methods


async def chunks(stream) -> bytes:
    stream = await done(stream)
    if hasattr(stream, "__aiter__"):
        return b"".join([chunk async for chunk in stream])
    return b"".join(stream)


@pytest.fixture(params=["sync", "async"])
async def box(request, daytona: Daytona, async_daytona: AsyncDaytona) -> AsyncIterator:
    client = daytona if request.param == "sync" else async_daytona
    sandbox = await done(client.create(timeout=120))
    try:
        yield sandbox
    finally:
        await done(sandbox.delete())


def fetch(url: str, data: bytes | None = None, kind: str = "", method: str | None = None) -> tuple[int, bytes]:
    """A request of anybody's, without a key."""
    request = urllib.request.Request(url, data, {"Content-Type": kind} if kind else {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def test_every_call(box, tmp_path):
    fs = box.fs
    await done(fs.create_folder("work/sub", "750"))
    await done(fs.upload_file(b"one needle\ntwo\n", "work/a.txt"))
    (tmp_path / "local").write_bytes(b"local needle")
    await done(fs.upload_file(str(tmp_path / "local"), "work/sub/b.txt"))
    many = [FileUpload(source=f"file {i}".encode(), destination=f"work/many/{i} ü.txt") for i in range(5)]
    await done(fs.upload_files(many))
    content = os.urandom(3 << 20)
    seen = []
    await done(fs.upload_file_stream(io.BytesIO(content), "work/stream.bin", on_progress=seen.append))
    assert seen[-1].bytes_sent == len(content)

    info = await done(fs.get_file_info("work/sub"))
    assert (info.name, info.is_dir, info.permissions, info.owner) == ("sub", True, "0750", "daytona")
    listed = await done(fs.list_files("work"))
    assert sorted(f.path for f in listed) == ["work/a.txt", "work/many", "work/stream.bin", "work/sub"]
    deep = await done(fs.list_files("work", depth=2))
    assert "work/sub/b.txt" in [f.path for f in deep] and "work/many/4 ü.txt" in [f.path for f in deep]
    assert {f.size for f in deep if f.name == "stream.bin"} == {len(content)}

    assert await done(fs.download_file("work/a.txt")) == b"one needle\ntwo\n"
    await done(fs.download_file("work/sub/b.txt", str(tmp_path / "back")))
    assert (tmp_path / "back").read_bytes() == b"local needle"
    seen = []
    assert await chunks(fs.download_file_stream("work/stream.bin", on_progress=seen.append)) == content
    assert (seen[-1].bytes_received, seen[-1].total_bytes) == (len(content), len(content))
    wanted = [FileDownloadRequest(source=f.destination) for f in many]
    found = await done(fs.download_files([*wanted, FileDownloadRequest(source="work/none")]))
    assert [f.result for f in found[:5]] == [f.source for f in many]
    assert (found[5].result, found[5].error_details.status_code, found[5].error_details.code) == (
        None,
        404,
        "FILE_NOT_FOUND",
    )

    matches = await done(fs.find_files("work", "needle"))
    assert [(m.file, m.line, m.content) for m in matches] == [
        ("work/a.txt", 1, "one needle"),
        ("work/sub/b.txt", 1, "local needle"),
    ]
    assert (await done(fs.search_files("work", "b.*"))).files == ["work/sub/b.txt"]
    replaced = await done(fs.replace_in_files(["work/a.txt", "work/none"], "needle", "pin"))
    assert [(r.file, r.success) for r in replaced] == [("work/a.txt", True), ("work/none", False)]
    assert await done(fs.download_file("work/a.txt")) == b"one pin\ntwo\n"

    await done(fs.set_file_permissions("work/a.txt", mode="640", owner="daytona", group="daytona"))
    assert (await done(fs.get_file_info("work/a.txt"))).permissions == "0640"
    await done(fs.move_files("work/a.txt", "work/moved.txt"))
    with pytest.raises(DaytonaConflictError):
        await done(fs.move_files("work/moved.txt", "work/sub"))
    await done(fs.delete_file("work/moved.txt"))
    with pytest.raises(DaytonaFileNotFoundError):
        await done(fs.get_file_info("work/moved.txt"))
    with pytest.raises(DaytonaError):
        await done(fs.delete_file("work"))
    await done(fs.delete_file("work", recursive=True))
    with pytest.raises(DaytonaFileNotFoundError):
        await done(fs.list_files("work"))

    called = set(box.fs.__class__.__dict__) - {"__init__"}
    public = {name for name in called if not name.startswith("_")}
    assert public == {
        "create_folder",
        "delete_file",
        "download_file",
        "download_file_stream",
        "download_files",
        "find_files",
        "get_file_info",
        "list_files",
        "move_files",
        "replace_in_files",
        "search_files",
        "set_file_permissions",
        "upload_file",
        "upload_file_stream",
        "upload_files",
    }


async def test_errors_are_the_clients_own(box):
    fs = box.fs
    for path in ("/etc/shadow", "/root/x", "/proc/1/environ", "/proc/self/fd/0"):
        with pytest.raises(DaytonaFileAccessDeniedError):
            await done(fs.download_file(path))
    with pytest.raises(DaytonaFileAccessDeniedError):
        await done(fs.create_folder("/root/x", "755"))
    with pytest.raises(DaytonaError, match="permission denied"):
        await done(fs.upload_file(b"x", "/root/x"))
    with pytest.raises(DaytonaInvalidFilePathError):
        await done(fs.download_file("/tmp"))
    with pytest.raises(DaytonaFileNotFoundError):
        await chunks(fs.download_file_stream("none"))
    three = [FileUpload(b"x", destination) for destination in ("fine", "/proc/none/deeper", "/etc/x")]
    with pytest.raises(DaytonaError, match="none/deeper|permission denied"):
        await done(fs.upload_files(three))
    assert await done(fs.download_file("fine")) == b"x"


async def test_signed_urls(box):
    content = os.urandom(2 << 20)
    await done(box.fs.upload_file(content, "dir/a b ü.bin"))
    download = await done(box.download_url("dir/a b ü.bin"))
    assert fetch(download) == (200, content)
    assert fetch(download, method="HEAD") == (200, b"")
    forever = await done(box.download_url("dir/a b ü.bin", ttl_seconds=0))
    assert "expires=0" in forever and fetch(forever) == (200, content)

    upload = await done(box.upload_url("new dir/in.txt", ttl_seconds=60))
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nof a form\r\n--x--\r\n'
    status, answer = fetch(upload, form, "multipart/form-data; boundary=x")
    assert (status, b'"path":"new dir/in.txt"' in answer) == (200, True)
    assert await done(box.fs.download_file("new dir/in.txt")) == b"of a form"
    assert fetch(upload, b"of a body", "application/octet-stream")[0] == 200
    assert await done(box.fs.download_file("new dir/in.txt")) == b"of a body"
    info = await done(box.fs.get_file_info("new dir/in.txt"))
    assert (info.owner, info.permissions) == ("daytona", "0644")

    # Nothing else is opened by one.
    query = urllib.parse.urlsplit(download).query
    for refused in (
        download.replace("dir", "di2"),
        download.replace("/files/download", "/files/info"),
        download[:-1] + ("A" if download[-1] != "A" else "B"),
        forever.replace("expires=0", "expires=1"),
        upload,
    ):
        assert fetch(refused)[0] == 401, refused
    assert fetch(download + "&path=other")[0] == 400
    assert fetch(download.replace("/files/download", "/files/upload-v2"), b"x", "text/plain")[0] == 401
    short = await done(box.download_url("dir/a b ü.bin", ttl_seconds=1))
    time.sleep(3)
    assert fetch(short)[0] == 401
    secret = await done(box.download_url("/etc/shadow"))
    status, answer = fetch(secret)
    assert (status, b"FILE_ACCESS_DENIED" in answer) == (403, True)
    assert fetch(await done(box.download_url("none")))[0] == 404
    assert "signature=v1_" in query

    await done(box.rotate_signing_key())
    assert [fetch(url)[0] for url in (download, forever)] == [401, 401]
    assert fetch(upload, b"x", "text/plain")[0] == 401
    renewed = await done(box.download_url("dir/a b ü.bin"))
    assert fetch(renewed) == (200, content)

    await done(box.stop())
    assert fetch(renewed)[0] == 409
    await done(box.start())
    assert fetch(renewed) == (200, content)
