"""Sandboxes started ahead."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from daytona import CreateSandboxFromSnapshotParams, CreateSnapshotParams, Daytona
from daytona_api_client.exceptions import ConflictException

from conftest import IMAGE


def ready(daytona: Daytona, pool_id: str, size: int):
    for _ in range(300):
        pool = next(p for p in daytona.warm_pool.list() if p.id == pool_id)
        if pool.current_size == size:
            return pool
        time.sleep(0.1)
    raise AssertionError(f"the pool has {pool.current_size}, not {size}: {pool.error_reason}")


def waiting(daytona: Daytona, pool_id: str) -> set[str]:
    page = daytona._sandbox_api.list_sandboxes(include_warm=True)
    return {s.id for s in page.items if s.warm_pool_id == pool_id}


def test_a_pool_is_filled_claimed_refilled_and_drained(daytona: Daytona, name: str):
    snapshot = daytona.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE, entrypoint=["sleep", "infinity"]))
    pool = daytona.warm_pool.create(name, 2)
    made = []
    try:
        with pytest.raises(ConflictException, match="already"):
            daytona.warm_pool.create(name, 1)
        pool = ready(daytona, pool.id, 2)
        assert (pool.snapshot, pool.pool, pool.cpu, pool.error_reason or "") == (name, 2, 1, "")
        warm = waiting(daytona, pool.id)
        assert len(warm) == 2
        assert not warm & {s.id for s in daytona.list()}

        params = CreateSandboxFromSnapshotParams(
            snapshot=name, name=f"{name}-box", env_vars={"GIVEN": "later"}, labels={"a": "b"}, auto_stop_interval=7
        )
        box = daytona.create(params)
        made.append(box)
        assert box.id in warm and box.state.value == "started"
        assert (box.name, box.auto_stop_interval, box.labels["a"]) == (f"{name}-box", 7, "b")
        assert box.process.exec("echo $GIVEN; hostname; cat /etc/hostname").result.split() == ["later"] + [box.name] * 2
        box.stop()
        box.start()
        assert box.process.exec("echo $GIVEN; hostname").result.split() == ["later", box.name]

        # Many at once: each gets one of its own, warm or cold.
        ready(daytona, pool.id, 2)
        with ThreadPoolExecutor(6) as threads:
            made += threads.map(lambda _: daytona.create(CreateSandboxFromSnapshotParams(snapshot=name)), range(6))
        assert len({s.id for s in made}) == len(made)
        ready(daytona, pool.id, 2)

        # Another network policy is not for one that runs.
        before = waiting(daytona, pool.id)
        made.append(daytona.create(CreateSandboxFromSnapshotParams(snapshot=name, network_block_all=True)))
        assert made[-1].id not in before

        daytona.warm_pool.update(pool.id, 0)
        ready(daytona, pool.id, 0)
    finally:
        daytona.warm_pool.delete(pool.id)
        for s in made:
            s.delete()
        daytona.snapshot.delete(snapshot)
    assert pool.id not in {p.id for p in daytona.warm_pool.list()}


def test_a_pool_drains_with_its_snapshot(daytona: Daytona, name: str):
    snapshot = daytona.snapshot.create(CreateSnapshotParams(name=name, image=IMAGE))
    pool = daytona.warm_pool.create(name, 1)
    try:
        ready(daytona, pool.id, 1)
        daytona.snapshot.delete(snapshot)
        for _ in range(100):
            left = waiting(daytona, pool.id)
            if not left and "does not exist" in (ready(daytona, pool.id, 0).error_reason or ""):
                return
            time.sleep(0.1)
        raise AssertionError("sandboxes of the pool are left")
    finally:
        daytona.warm_pool.delete(pool.id)
