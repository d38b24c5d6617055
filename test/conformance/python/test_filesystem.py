"""Files."""

import hashlib
import io
import os
from pathlib import Path

import pytest
from daytona import (
    DaytonaConflictError,
    DaytonaError,
    DaytonaForbiddenError,
    DaytonaNotFoundError,
    FileDownloadRequest,
    FileUpload,
    Sandbox,
)


def test_bytes_go_up_and_come_down(shared: Sandbox, folder: str):
    content = os.urandom(3 << 20)
    shared.fs.upload_file(content, f"{folder}/deep/er/file.bin")
    assert shared.fs.download_file(f"{folder}/deep/er/file.bin") == content
    said = shared.process.exec(f"sha256sum {folder}/deep/er/file.bin").result
    assert said.split()[0] == hashlib.sha256(content).hexdigest()
    assert shared.process.exec(f"stat -c %U {folder}/deep/er {folder}/deep/er/file.bin").result == "daytona\ndaytona\n"


def test_local_files_go_up_and_come_down(shared: Sandbox, folder: str, tmp_path: Path):
    source, back = tmp_path / "source.txt", tmp_path / "back.txt"
    source.write_text("from a file\n")
    shared.fs.upload_file(str(source), f"{folder}/file.txt")
    shared.fs.download_file(f"{folder}/file.txt", str(back))
    assert back.read_text() == "from a file\n"


def test_streams_both_ways(shared: Sandbox, folder: str):
    content = os.urandom(5 << 20)
    shared.fs.upload_file_stream(io.BytesIO(content), f"{folder}/stream.bin")
    assert b"".join(shared.fs.download_file_stream(f"{folder}/stream.bin")) == content


def test_many_files_at_once(shared: Sandbox, folder: str):
    files = [FileUpload(source=f"file {i}".encode(), destination=f"{folder}/many/{i}.txt") for i in range(20)]
    shared.fs.upload_files(files)
    wanted = [FileDownloadRequest(source=f"{folder}/many/{i}.txt") for i in range(20)]
    wanted.append(FileDownloadRequest(source=f"{folder}/missing.txt"))
    *found, missing = shared.fs.download_files(wanted)
    assert [f.result for f in found] == [f"file {i}".encode() for i in range(20)]
    assert missing.result is None
    assert missing.error


def test_list_and_details(shared: Sandbox, folder: str):
    shared.fs.upload_file(b"12345", f"{folder}/five.txt")
    shared.fs.create_folder(f"{folder}/sub", "700")
    listed = {f.name: f for f in shared.fs.list_files(folder)}
    assert set(listed) == {"five.txt", "sub"}
    assert listed["sub"].is_dir and not listed["five.txt"].is_dir
    details = shared.fs.get_file_info(f"{folder}/five.txt")
    assert (details.name, details.size, details.owner, details.is_dir) == ("five.txt", 5, "daytona", False)
    assert shared.process.exec(f"stat -c %a {folder}/sub").result == "700\n"


def test_move_delete_and_what_is_missing(shared: Sandbox, folder: str):
    shared.fs.upload_file(b"x", f"{folder}/a.txt")
    shared.fs.move_files(f"{folder}/a.txt", f"{folder}/b.txt")
    assert shared.fs.download_file(f"{folder}/b.txt") == b"x"
    shared.fs.delete_file(f"{folder}/b.txt")
    with pytest.raises(DaytonaNotFoundError):
        shared.fs.get_file_info(f"{folder}/b.txt")
    with pytest.raises(DaytonaError):
        shared.fs.download_file(f"{folder}/b.txt")
    with pytest.raises(DaytonaNotFoundError):
        shared.fs.list_files(f"{folder}/none")
    shared.fs.create_folder(f"{folder}/full", "755")
    shared.fs.upload_file(b"x", f"{folder}/full/x")
    with pytest.raises(DaytonaError):
        shared.fs.delete_file(f"{folder}/full")
    shared.fs.delete_file(f"{folder}/full", recursive=True)


def test_find_search_and_replace(shared: Sandbox, folder: str):
    shared.fs.upload_file(b"one needle\nno\nneedle two\n", f"{folder}/a.txt")
    shared.fs.upload_file(b"nothing", f"{folder}/b.md")
    found = shared.fs.find_files(folder, "needle")
    assert [(os.path.basename(m.file), m.line) for m in found] == [("a.txt", 1), ("a.txt", 3)]
    assert [os.path.basename(f) for f in shared.fs.search_files(folder, "*.md").files] == ["b.md"]
    (result,) = shared.fs.replace_in_files([f"{folder}/a.txt"], "needle", "pin")
    assert result.success
    assert shared.fs.download_file(f"{folder}/a.txt") == b"one pin\nno\npin two\n"


def test_permissions(shared: Sandbox, folder: str):
    shared.fs.upload_file(b"#!/bin/sh\necho run\n", f"{folder}/run.sh")
    shared.fs.set_file_permissions(f"{folder}/run.sh", mode="755")
    assert shared.process.exec(f"./{folder}/run.sh").result == "run\n"


def test_names_with_anything_in_them(shared: Sandbox, folder: str):
    for name in ("with space", "äöü-日本", "quote'\"", "percent%20", "-dash", "new\nline", "#?&="):
        shared.fs.upload_file(name.encode(), f"{folder}/{name}")
        assert shared.fs.download_file(f"{folder}/{name}") == name.encode()


def test_names_that_are_not_utf8_do_no_harm(shared: Sandbox, folder: str):
    shared.process.exec(f"cd {folder} && touch \"$(printf 'bad\\377name')\"")
    assert len(shared.fs.list_files(folder)) == 1


def test_paths_stay_inside_the_sandbox(shared: Sandbox):
    inside = shared.fs.download_file("../../../../../../etc/hostname").decode().strip()
    assert inside == shared.process.exec("hostname").result.strip()
    with pytest.raises(DaytonaError):
        shared.fs.upload_file(b"x", "/proc/sys/kernel/core_pattern")
    with pytest.raises(DaytonaError):
        shared.fs.download_file("a\0b")


def test_a_full_disk_is_a_clear_error_and_no_harm(sandbox: Sandbox):
    sandbox.process.exec("head -c 4G /dev/zero > fill 2>/dev/null")
    with pytest.raises(DaytonaError):
        sandbox.fs.upload_file(os.urandom(1 << 20), "more.bin")
    assert sandbox.process.exec("rm fill && echo ok").result == "ok\n"
    sandbox.fs.upload_file(b"x", "after.txt")


def test_a_sandbox_out_of_memory_goes_on(sandbox: Sandbox):
    answer = sandbox.process.exec('python3 -c "b = bytearray(4 << 30)"; echo ended $?', timeout=60)
    assert "ended 0" not in answer.result
    assert sandbox.process.exec("echo ok").result == "ok\n"


def test_files_are_those_of_the_sandboxes_user(shared: Sandbox, folder: str):
    with pytest.raises(DaytonaForbiddenError):
        shared.fs.download_file("/etc/shadow")
    shared.process.exec(f"ln -s /etc/shadow {folder}/link")
    with pytest.raises(DaytonaForbiddenError):
        shared.fs.download_file(f"{folder}/link")
    for refused in (f"{folder}/link", "/root/x", "/etc/passwd", "/new"):
        with pytest.raises(DaytonaError, match="permission denied"):
            shared.fs.upload_file(b"x", refused)
    with pytest.raises(DaytonaForbiddenError):
        shared.fs.create_folder("/root/folder", "755")
    with pytest.raises(DaytonaForbiddenError):
        shared.fs.list_files("/root")
    with pytest.raises(DaytonaForbiddenError):
        shared.fs.delete_file("/etc/passwd")
    with pytest.raises(DaytonaForbiddenError):
        shared.fs.set_file_permissions(folder, owner="root")
    assert "daytona" in shared.process.exec("cat /etc/passwd").result


def test_an_upload_goes_through_a_link_that_leads_nowhere(shared: Sandbox, folder: str):
    shared.process.exec(f"ln -s made/target.txt {folder}/link.txt")
    shared.fs.upload_file(b"through", f"{folder}/link.txt")
    said = shared.process.exec(
        f"readlink {folder}/link.txt; cat {folder}/made/target.txt; stat -c ' %U %a' {folder}/made/target.txt"
    )
    assert said.result == "made/target.txt\nthrough daytona 644\n"


def test_files_come_whole_whatever_their_size_is_said_to_be(shared: Sandbox, folder: str):
    for path in ("/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/cpuinfo", "/proc/kallsyms"):
        content = shared.fs.download_file(path)
        assert content.decode().count("\n") == int(shared.process.exec(f"wc -l <{path}").result), path
    shared.process.exec(f"timeout 5 sh -c 'while :; do head -c 100000 /dev/zero; done' >>{folder}/growing & sleep 0.2")
    for _ in range(5):
        assert set(shared.fs.download_file(f"{folder}/growing")) == {0}


def test_files_tell_of_the_sandboxes_own_size(shared: Sandbox):
    inside = shared.process.exec("head -n 1 /proc/meminfo").result
    assert shared.fs.download_file("/proc/meminfo").decode().splitlines(keepends=True)[0] == inside
    (found,) = shared.fs.find_files("/proc/meminfo", "MemTotal")
    assert found.content + "\n" == inside
    assert shared.fs.get_file_info("/proc/meminfo").permissions == "0444"
    assert "meminfo" in [f.name for f in shared.fs.list_files("/proc")]


def test_paths_may_begin_at_home(shared: Sandbox, folder: str):
    shared.fs.upload_file(b"at home", f"~/{folder}/file")
    assert shared.fs.download_file(f"~/{folder}/file") == b"at home"
    assert shared.process.exec(f"cat ~/{folder}/file", cwd="~").result == "at home"


def test_move_replaces_nothing(shared: Sandbox, folder: str):
    shared.fs.upload_file(b"a", f"{folder}/a")
    shared.fs.upload_file(b"b", f"{folder}/b")
    with pytest.raises(DaytonaConflictError):
        shared.fs.move_files(f"{folder}/a", f"{folder}/b")
    assert shared.fs.download_file(f"{folder}/b") == b"b"
