"""Snapshots, by the examples of the user guide that use images."""

import os
import time
import urllib.request
from collections.abc import Iterator

import pytest
from daytona import (
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    DaytonaConflictError,
    DaytonaError,
    DaytonaNotFoundError,
    Resources,
)
from daytona.common.snapshot import Snapshot

from conftest import IMAGE, done


@pytest.fixture
def snapshot(daytona: Daytona, name: str) -> Iterator[Snapshot]:
    lines: list[str] = []
    made = daytona.snapshot.create(
        CreateSnapshotParams(
            name=name,
            image=IMAGE,
            resources=Resources(cpu=2, memory=2, disk=5),
            region_id="us",
            entrypoint=["sleep", "infinity"],
        ),
        on_logs=lines.append,
    )
    assert any(name in line for line in lines), lines
    yield made
    try:
        daytona.snapshot.delete(made)
    except DaytonaNotFoundError:
        pass


def deactivate(name: str) -> None:
    """The SDK has no call for it."""
    request = urllib.request.Request(
        f"{os.environ['DAYTONA_API_URL']}/snapshots/{name}/deactivate",
        method="POST",
        headers={"Authorization": "Bearer " + os.environ["DAYTONA_API_KEY"]},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 204


def test_a_snapshot_becomes_a_sandbox(daytona: Daytona, snapshot: Snapshot):
    assert snapshot.state == "active"
    assert (snapshot.cpu, snapshot.mem, snapshot.disk) == (2, 2, 5)
    assert snapshot.entrypoint == ["sleep", "infinity"]
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=snapshot.name))
    try:
        assert (sandbox.cpu, sandbox.memory, sandbox.disk) == (2, 2, 5)
        assert sandbox.process.code_run("print('hello')").result == "hello\n"
        assert daytona.snapshot.get(snapshot.name).last_used_at is not None
        daytona.snapshot.delete(snapshot)
        assert sandbox.process.exec("echo still here").result == "still here\n"
        sandbox.stop()
        sandbox.start()
        assert sandbox.process.exec("echo again").result == "again\n"
    finally:
        sandbox.delete()


def test_get_and_list(daytona: Daytona, snapshot: Snapshot):
    assert daytona.snapshot.get(snapshot.name).id == snapshot.id
    assert daytona.snapshot.get(snapshot.id).name == snapshot.name
    first = daytona.snapshot.list(page=1, limit=1)
    assert first.total >= 4 and first.total_pages == first.total and len(first.items) == 1
    assert first.items[0].id == snapshot.id, "the newest of one's own comes first"
    second = daytona.snapshot.list(page=2, limit=2)
    assert {s.id for s in second.items}.isdisjoint({snapshot.id})


def test_deactivate_and_activate(daytona: Daytona, snapshot: Snapshot):
    # The SDK lets the generated client's error through here.
    with pytest.raises(Exception, match="already active"):
        daytona.snapshot.activate(snapshot)
    deactivate(snapshot.name)
    deactivate(snapshot.name)
    assert daytona.snapshot.get(snapshot.name).state == "inactive"
    activated = daytona.snapshot.activate(daytona.snapshot.get(snapshot.name))
    assert activated.state in ("pending", "pulling", "active")
    deactivate_when_active(daytona, snapshot)
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=snapshot.name), timeout=120)
    sandbox.delete()
    assert daytona.snapshot.get(snapshot.name).state == "active", "using it activates it"


def deactivate_when_active(daytona: Daytona, snapshot: Snapshot) -> None:
    deadline = time.time() + 60
    while daytona.snapshot.get(snapshot.name).state != "active":
        assert time.time() < deadline
        time.sleep(0.1)
    deactivate(snapshot.name)


async def test_a_snapshot_is_known_by_its_name(client, name: str):
    made = await done(client.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE)))
    deactivate(name)
    assert (await done(client.snapshot.activate(name))).id == made.id
    await done(client.snapshot.delete(name))


def test_a_name_is_taken_once_and_free_after_deletion(daytona: Daytona, snapshot: Snapshot):
    with pytest.raises(DaytonaConflictError):
        daytona.snapshot.create(CreateSnapshotParams(name=snapshot.name, image=IMAGE))
    daytona.snapshot.delete(snapshot)
    again = daytona.snapshot.create(CreateSnapshotParams(name=snapshot.name, image=IMAGE))
    assert (again.cpu, again.mem, again.disk) == (1, 1, 3)
    daytona.snapshot.delete(again)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("python:latest", "latest"),
        ("python:lts", "lts"),
        ("python", "tag"),
        ("Bad Name:1", "image"),
        ("", "image"),
    ],
)
def test_references_that_are_refused(daytona: Daytona, name: str, image: str, said: str):
    with pytest.raises(DaytonaError, match=said):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=image))


@pytest.mark.parametrize(
    "resources",
    [Resources(cpu=0), Resources(cpu=-1), Resources(memory=10**9), Resources(disk=-3)],
)
def test_resources_that_are_refused(daytona: Daytona, name: str, resources: Resources):
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE, resources=resources))


def test_an_unknown_region_is_refused(daytona: Daytona, name: str):
    with pytest.raises(DaytonaNotFoundError, match="mars"):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE, region_id="mars"))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("fixtures/none:1", "not found"),
        ("fixtures/wrong-arch:1", "platform"),
        ("fixtures/wrongdigest:1", "digest"),
        ("fixtures/traversal:1", "outside"),
        ("private/box:1", "credentials"),
        ("no-such-host.invalid/image:1", "registry no-such-host.invalid has a name that cannot be resolved"),
    ],
)
def test_a_pull_that_fails_says_why_and_can_be_deleted(daytona: Daytona, name: str, image: str, said: str):
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=image))
    failed = daytona.snapshot.get(name)
    assert failed.state == "error"
    assert said in (failed.error_reason or "")
    daytona.snapshot.delete(failed)
    deadline = time.time() + 10
    with pytest.raises(DaytonaNotFoundError):
        while time.time() < deadline:
            daytona.snapshot.get(name)
            time.sleep(0.05)


@pytest.mark.parametrize("image", ["layers30", "zstd", "multi-arch", "entrypoint-exits", "named-user", "oddities"])
def test_images_with_edges(daytona: Daytona, name: str, image: str):
    snapshot = daytona.snapshot.create(CreateSnapshotParams(name=name, image=f"fixtures/{image}:1"))
    try:
        sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
        try:
            run = sandbox.process.exec
            match image:
                case "layers30":
                    assert run("cat /l/replaced /l/count; ls /l/removed /l/opaque 2>&1").result.startswith("new29")
                    assert run("ls /l/opaque").result == "above\n"
                    assert run("stat -c %u:%g:%a /l/owned /l/setuid").result == "1000:1001:600\n0:0:4755\n"
                case "zstd":
                    assert run("cat /zstd").result == "unpacked\n"
                case "multi-arch":
                    assert run("cat /arch").result.strip() in ("amd64", "arm64")
                case "entrypoint-exits":
                    assert run("echo alive").result == "alive\n"
                case "named-user":
                    assert run("id -un; pwd").result == "worker\n/srv\n"
                case "oddities":
                    assert run("id -u; id -g; pwd").result == "1234\n4321\n/not/there/yet\n"
                    assert run("cat /data/kept").result == "from the image\n"
                    # The entrypoint begins when the sandbox does, and takes its time.
                    assert (
                        run("until [ -s /tmp/entry ]; do sleep 0.01; done; cat /tmp/entry", timeout=10).result
                        == "entry\n"
                    )
                    assert run('echo "[$EMPTY] [$SPACES] [$EQUALS]"').result == "[] [a b  c] [a=b=c]\n"
        finally:
            sandbox.delete()
    finally:
        daytona.snapshot.delete(snapshot)


def test_an_image_without_a_shell_starts_and_says_what_it_lacks(daytona: Daytona, name: str):
    snapshot = daytona.snapshot.create(CreateSnapshotParams(name=name, image="fixtures/noshell:1"))
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
    try:
        with pytest.raises(DaytonaError, match="shell"):
            sandbox.process.exec("echo hi")
        # The SDK lets the generated client's error through here.
        with pytest.raises(Exception, match="this sandbox has no Python"):
            sandbox.process.code_run("print(1)")
        sandbox.fs.upload_file(b"x", "/file")
        assert sandbox.fs.download_file("/file") == b"x"
    finally:
        sandbox.delete()
        daytona.snapshot.delete(snapshot)
