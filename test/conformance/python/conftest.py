"""Fixtures of the suite. DAYTONA_API_URL and DAYTONA_API_KEY name the server."""

import inspect
import os
import uuid
from collections.abc import Iterator

import pytest
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, Sandbox

pytest_plugins = ["recorder"]

# An image that the server can pull, with Python.
IMAGE = os.environ.get("DAYTONA_TEST_IMAGE", "python:3.12.10-slim-bookworm")


@pytest.fixture(scope="session")
def daytona() -> Daytona:
    return Daytona()


@pytest.fixture
async def async_daytona():
    async with AsyncDaytona() as client:
        yield client


async def done(value):
    """What either client returns."""
    return await value if inspect.isawaitable(value) else value


async def listed(values) -> list:
    """What either client iterates over."""
    return [value async for value in values] if hasattr(values, "__aiter__") else list(values)


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, daytona: Daytona, async_daytona: AsyncDaytona):
    """Each of the clients; done and listed make their results the same."""
    return daytona if request.param == "sync" else async_daytona


@pytest.fixture
async def either(client, shared: Sandbox):
    """The shared sandbox by each of the clients."""
    return await done(client.get(shared.id))


@pytest.fixture(scope="session")
def shared(daytona: Daytona) -> Iterator[Sandbox]:
    """One sandbox for tests that leave it as it was."""
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(env_vars={"GIVEN": "at creation"}), timeout=120)
    yield sandbox
    sandbox.delete()


@pytest.fixture
def sandbox(daytona: Daytona) -> Iterator[Sandbox]:
    """A sandbox of the test's own."""
    own = daytona.create(timeout=120)
    yield own
    own.delete()


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def folder(shared: Sandbox) -> Iterator[str]:
    """An empty folder in the shared sandbox."""
    path = f"folder-{uuid.uuid4().hex[:8]}"
    shared.fs.create_folder(path, "755")
    yield path
    shared.fs.delete_file(path, recursive=True)
