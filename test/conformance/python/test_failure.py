"""What fails says why, whichever way it is waited for."""

import time

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
)

from conftest import IMAGE

# Builds that fail in milliseconds, and after a while, with what their reasons say.
BUILDS = [
    pytest.param(Image.base("nobody/has-this:1.0"), "nobody/has-this:1.0", id="image"),
    pytest.param(Image.base(IMAGE).dockerfile_commands(["NONSENSE here"]), "NONSENSE", id="syntax"),
    pytest.param(Image.base(IMAGE).run_commands("sleep 2; exit 7"), "exit code 7", id="step"),
]
LOGS = pytest.mark.parametrize("logs", [False, True], ids=["silent", "logs"])


def remove(daytona: Daytona, name: str) -> None:
    for sandbox in daytona.list(ListSandboxesQuery(labels={"test": name})):
        sandbox.delete()
    for snapshot in daytona.snapshot.list(limit=200).items:
        if snapshot.name == name:
            daytona.snapshot.delete(snapshot)


@LOGS
@pytest.mark.parametrize(("image", "why"), BUILDS)
def test_a_snapshot_whose_build_fails(daytona: Daytona, name: str, image: Image, why: str, logs: bool) -> None:
    lines: list[str] = []
    try:
        with pytest.raises(DaytonaError, match=why) as failure:
            daytona.snapshot.create(
                CreateSnapshotParams(name=name, image=image), on_logs=lines.append if logs else None
            )
        assert "reason: None" not in str(failure.value)
        if logs:
            assert any(why in line for line in lines), lines
    finally:
        remove(daytona, name)


@LOGS
@pytest.mark.parametrize(("image", "why"), BUILDS)
def test_a_sandbox_whose_build_fails(daytona: Daytona, name: str, image: Image, why: str, logs: bool) -> None:
    lines: list[str] = []
    try:
        with pytest.raises(DaytonaError, match=why) as failure:
            daytona.create(
                CreateSandboxFromImageParams(image=image, labels={"test": name}),
                timeout=120,
                on_snapshot_create_logs=lines.append if logs else None,
            )
        assert "reason: None" not in str(failure.value)
        if logs:
            assert any(why in line for line in lines), lines
    finally:
        remove(daytona, name)


@LOGS
async def test_the_same_without_blocking(async_daytona: AsyncDaytona, daytona: Daytona, name: str, logs: bool) -> None:
    image = Image.base("nobody/has-this:1.0")
    lines: list[str] = []
    try:
        with pytest.raises(DaytonaError, match="nobody/has-this:1.0"):
            await async_daytona.create(
                CreateSandboxFromImageParams(image=image, labels={"test": name}),
                on_snapshot_create_logs=lines.append if logs else None,
            )
        with pytest.raises(DaytonaError, match="nobody/has-this:1.0"):
            await async_daytona.snapshot.create(
                CreateSnapshotParams(name=name, image=image), on_logs=lines.append if logs else None
            )
        if logs:
            assert any("nobody/has-this:1.0" in line for line in lines), lines
    finally:
        remove(daytona, name)


@LOGS
def test_a_pull_that_fails(daytona: Daytona, name: str, logs: bool) -> None:
    lines: list[str] = []
    try:
        with pytest.raises(DaytonaError, match="nobody/has-this:1.0"):
            daytona.snapshot.create(
                CreateSnapshotParams(name=name, image="nobody/has-this:1.0"), on_logs=lines.append if logs else None
            )
        with pytest.raises(DaytonaError, match=name):
            daytona.create(CreateSandboxFromSnapshotParams(snapshot=name))
    finally:
        remove(daytona, name)


def test_what_the_log_of_a_failed_sandbox_says(daytona: Daytona, name: str) -> None:
    """Some clients read it by the older route, and learn the reason there alone."""
    image = Image.base("nobody/has-this:1.0")
    try:
        with pytest.raises(DaytonaError):
            daytona.create(CreateSandboxFromImageParams(image=image, labels={"test": name}))
        (failed,) = daytona.list(ListSandboxesQuery(labels={"test": name}))
        api = daytona._sandbox_api
        url = api.get_build_logs_url(failed.id).url
        assert url.endswith(f"/api/sandbox/{failed.id}/build-logs")
        began = time.monotonic()
        answer = api.get_build_logs_without_preload_content(failed.id, follow=True)
        assert answer.status == 200 and "nobody/has-this:1.0" in answer.data.decode().splitlines()[-1]
        assert time.monotonic() - began < 5
    finally:
        remove(daytona, name)
