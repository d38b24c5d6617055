"""The methods of the synchronous and the asynchronous client, with the same tests."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    DaytonaNotFoundError,
    ListSandboxesQuery,
    Resources,
    Sandbox,
    SandboxListSortDirection,
    SandboxListSortField,
    SandboxState,
)

from conftest import IMAGE, done, listed
from test_snapshot import deactivate

pytestmark = pytest.mark.methods


async def run(sandbox, command: str) -> str:
    answer = await done(sandbox.process.exec(command))
    assert answer.exit_code == 0, answer.result
    return answer.result.strip()


@pytest.fixture(scope="module")
def lent(daytona: Daytona) -> Iterator[Sandbox]:
    """A sandbox for tests that change it; each says first what it needs."""
    sandbox = daytona.create(timeout=120)
    yield sandbox
    sandbox.delete()


@pytest.fixture
async def box(client, lent: Sandbox):
    """It, by each of the clients, started."""
    sandbox = await done(client.get(lent.id))
    if sandbox.state != "started":
        await done(sandbox.start())
    return sandbox


async def test_stop_and_start_by_the_client(client, box):
    await done(client.stop(box))
    assert box.state == "stopped"
    await done(box.wait_for_sandbox_stop())
    await done(client.start(box))
    assert box.state == "started"
    await done(box.wait_for_sandbox_start())
    await done(box.stop(force=True))
    assert (await done(client.get(box.id))).state == "stopped"
    await done(box.start())
    assert await run(box, "echo started") == "started"


async def test_a_deletion_can_be_waited_for(client):
    for by_the_client in (True, False):
        sandbox = await done(client.create(timeout=120))
        await done(client.delete(sandbox, wait=True) if by_the_client else sandbox.delete(wait=True))
        with pytest.raises(DaytonaNotFoundError):
            await done(client.get(sandbox.id))


async def test_settings_are_kept(client, box):
    assert await done(box.set_labels({"a": "1", "b": ""})) == {"a": "1", "b": ""}
    await done(box.set_autostop_interval(30))
    await done(box.set_auto_archive_interval(600))
    await done(box.set_auto_delete_interval(60))
    await done(box.set_public(True))
    await done(box.update_network_settings(network_allow_list="198.18.0.0/15"))
    kept = await done(client.get(box.id))
    await done(box.refresh_data())
    for sandbox in (box, kept):
        assert sandbox.labels == {"a": "1", "b": ""}
        assert (sandbox.auto_stop_interval, sandbox.auto_archive_interval, sandbox.auto_delete_interval) == (
            30,
            600,
            60,
        )
        assert (sandbox.public, sandbox.network_allow_list) == (True, "198.18.0.0/15")
    await done(box.set_auto_delete_interval(-1))
    await done(box.set_public(False))
    await done(box.update_network_settings(network_block_all=False, network_allow_list=""))
    kept = await done(client.get(box.id))
    assert (kept.auto_delete_interval, kept.public, kept.network_allow_list or "") == (-1, False, "")


async def test_a_time_to_live_is_counted_from_now(client, box):
    await done(box.set_ttl(90))
    await done(box.refresh_data())
    end = datetime.fromisoformat(box.auto_destroy_at)
    assert abs(end - datetime.now(UTC) - timedelta(minutes=90)) < timedelta(seconds=20)
    await done(box.set_ttl(0))
    await done(box.refresh_data())
    assert box.auto_destroy_at is None


async def test_activity_is_told(client, box):
    await done(box.refresh_data())
    before = box.last_activity_at
    await asyncio.sleep(0.01)
    await done(box.refresh_activity())
    await done(box.refresh_data())
    assert datetime.fromisoformat(box.last_activity_at) > datetime.fromisoformat(before)


async def test_the_environment_of_new_processes_changes(box):
    await done(box.update_env({"NEW": "a b=c", "GONE": "x"}))
    assert await run(box, 'echo "$NEW-$GONE"') == "a b=c-x"
    await done(box.update_env({"NEW": "d"}, unset=["GONE", "NEVER_SET"]))
    assert await run(box, 'echo "$NEW-${GONE-none}"') == "d-none"


async def test_resize(box):
    await done(box.resize(Resources(cpu=2, memory=2)))
    await done(box.wait_for_resize_complete())
    assert (box.cpu, box.memory, box.disk) == (2, 2, 3)
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert await run(box, f"cat {files} 2>/dev/null || true") == str(2 << 30)
    await done(box.stop())
    await done(box.resize(Resources(cpu=1, memory=1)))
    await done(box.start())
    assert (box.cpu, box.memory, box.disk) == (1, 1, 3)


async def test_directories_and_metrics(either):
    assert await done(either.get_user_home_dir()) == "/home/daytona"
    assert await done(either.get_work_dir()) == "/home/daytona"
    with pytest.deprecated_call():
        assert await done(either.get_user_root_dir()) == "/home/daytona"
    now = await done(either.get_metrics_latest())
    assert (now.cpu_count, now.mem_total, now.disk_total) == (1, 1 << 30, 3 << 30)
    assert 0 < now.mem_used < now.mem_total and 0 <= now.mem_cache < now.mem_total and now.disk_used < now.disk_total
    assert abs(datetime.now(UTC) - now.timestamp) < timedelta(minutes=1)


async def test_a_fork_and_a_snapshot(client, box, name: str):
    await run(box, "echo kept >file")
    fork = await done(box.fork(name=name))
    try:
        assert (fork.name, await run(fork, "cat file")) == (name, "kept")
    finally:
        await done(fork.delete())
    await done(box.create_snapshot(name))
    snapshot = await done(client.snapshot.get(name))
    try:
        assert (snapshot.state, snapshot.name) == ("active", name)
        made = await done(client.create(CreateSandboxFromSnapshotParams(snapshot=name)))
        try:
            assert await run(made, "cat file") == "kept"
        finally:
            await done(made.delete())
    finally:
        await done(client.snapshot.delete(snapshot))


async def test_snapshots(client, name: str):
    lines: list[str] = []
    snapshot = await done(
        client.snapshot.create(
            CreateSnapshotParams(name=name, image=IMAGE, resources=Resources(cpu=2, memory=2, disk=5)),
            on_logs=lines.append,
        )
    )
    try:
        assert (snapshot.state, snapshot.cpu, snapshot.mem, snapshot.disk) == ("active", 2, 2, 5)
        assert any(name in line for line in lines), lines
        first = await done(client.snapshot.list(page=1, limit=1))
        assert (first.page, len(first.items), first.total_pages) == (1, 1, first.total)
        every = [s.name for s in (await done(client.snapshot.list(limit=200))).items]
        assert len(every) == len(set(every)) == first.total and name in every
        # The SDK lets the generated client's error through here.
        with pytest.raises(Exception, match="already active"):
            await done(client.snapshot.activate(snapshot))
        deactivate(name)
        again = await done(client.snapshot.activate(snapshot))
        assert again.id == snapshot.id and again.state in ("pending", "pulling", "active")
        await done(client.snapshot.delete(snapshot))
        deadline = time.time() + 10
        with pytest.raises(DaytonaNotFoundError):
            while time.time() < deadline:
                await done(client.snapshot.get(name))
    except BaseException:
        await done(client.snapshot.delete(snapshot))
        raise


async def test_lists_are_filtered_sorted_and_paged(client, daytona: Daytona, name: str):
    """Each filter is asked for one of three sandboxes, or for those that it leaves."""
    began = datetime.now(UTC)
    made = [
        daytona.create(
            CreateSandboxFromSnapshotParams(
                name=f"{name}-{letter}", labels={"run": name, "letter": letter}, public=letter == "b", snapshot=snapshot
            )
        )
        for letter, snapshot in [("a", "daytona-small"), ("b", "daytona-small"), ("c", "daytona-medium")]
    ]
    try:
        made[0].stop()
        made[2].set_ttl(60)
        middle = datetime.fromisoformat(made[1].created_at)
        after, soon = middle + timedelta(microseconds=1000), datetime.now(UTC) + timedelta(minutes=1)
        for want, query in [
            ("abc", {}),
            ("abc", {"limit": 1}),
            ("b", {"labels": {"run": name, "letter": "b"}}),
            ("", {"labels": {"run": name, "letter": "B"}}),
            ("b", {"id": made[1].id[:18].upper()}),
            ("c", {"name": f"{name}-C"}),
            ("a", {"states": [SandboxState.STOPPED]}),
            ("bc", {"states": [SandboxState.STARTED]}),
            ("abc", {"states": [SandboxState.STARTED, SandboxState.STOPPED]}),
            ("c", {"snapshots": ["daytona-medium"]}),
            ("abc", {"snapshots": ["daytona-medium", "daytona-small"]}),
            ("abc", {"targets": [made[0].target]}),
            ("", {"targets": ["mars"]}),
            ("c", {"min_cpu": made[2].cpu}),
            ("ab", {"max_cpu": made[0].cpu}),
            ("c", {"min_memory_gib": made[2].memory}),
            ("ab", {"max_memory_gib": made[0].memory}),
            ("c", {"min_disk_gib": made[2].disk}),
            ("ab", {"max_disk_gib": made[0].disk}),
            ("b", {"is_public": True}),
            ("ac", {"is_public": False}),
            ("", {"is_recoverable": True}),
            ("abc", {"is_recoverable": False}),
            ("abc", {"created_at_after": began - timedelta(seconds=1)}),
            ("c", {"created_at_after": after}),
            ("ab", {"created_at_before": after}),
            ("abc", {"last_activity_after": began - timedelta(seconds=1)}),
            ("", {"last_activity_before": began - timedelta(seconds=1)}),
            ("c", {"auto_destroy_at_after": soon}),
            ("", {"auto_destroy_at_before": soon}),
        ]:
            asked = ListSandboxesQuery(**{"labels": {"run": name}, **query})
            found = "".join(sorted(s.name[-1] for s in await listed(client.list(asked))))
            assert found == want, query
        for sort, order, want in [("name", "asc", "abc"), ("name", "desc", "cba"), ("createdAt", "asc", "abc")]:
            asked = ListSandboxesQuery(
                labels={"run": name},
                sort=SandboxListSortField(sort),
                order=SandboxListSortDirection(order),
                limit=2,
            )
            assert "".join([s.name[-1] for s in await listed(client.list(asked))]) == want
    finally:
        for sandbox in made:
            sandbox.delete()


def test_services_are_the_same_each_time(either):
    for service in ("fs", "git", "process", "computer_use", "code_interpreter"):
        assert getattr(either, service) is getattr(either, service)


async def test_previews(client, box):
    link = await done(box.get_preview_link(8125))
    assert link.url.startswith(f"http://8125-{box.id}.") and link.token
    signed = await done(box.create_signed_preview_url(8125, expires_in_seconds=60))
    assert (signed.sandbox_id, signed.port) == (box.id, 8125) and signed.token in signed.url
    await done(box.expire_signed_preview_url(8125, signed.token))
    with pytest.raises(DaytonaNotFoundError):
        await done(box.expire_signed_preview_url(8125, signed.token))


async def test_warm_pools(client, name: str):
    snapshot = await done(client.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE)))
    try:
        pool = await done(client.warm_pool.create(name, 1))
        assert (pool.snapshot, pool.pool) == (name, 1)
        try:
            changed = await done(client.warm_pool.update(pool.id, 0))
            assert (changed.id, changed.pool) == (pool.id, 0)
            assert [p.pool for p in await done(client.warm_pool.list()) if p.id == pool.id] == [0]
        finally:
            await done(client.warm_pool.delete(pool.id))
        assert pool.id not in [p.id for p in await done(client.warm_pool.list())]
    finally:
        await done(client.snapshot.delete(snapshot))


async def test_a_closed_client_leaves_no_connections(shared: Sandbox):
    def connected() -> int:
        wanted = ["-Htnp", "state", "established", "dport", f"= :{urlsplit(os.environ['DAYTONA_API_URL']).port}"]
        found = subprocess.run(["ss", *wanted], capture_output=True, text=True, check=True).stdout
        return found.count(f"pid={os.getpid()},")

    before = connected()
    client = AsyncDaytona()
    assert (await client.get(shared.id)).id == shared.id
    assert connected() > before
    await client.close()
    async with asyncio.timeout(10):
        while connected() > before:
            await asyncio.sleep(0.05)
