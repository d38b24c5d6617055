"""Fixtures of the suite. DAYTONA_API_URL and DAYTONA_API_KEY name the server."""

import os
import uuid
from collections.abc import Iterator

import pytest
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, Sandbox

# An image that the server can pull, with Python.
IMAGE = os.environ.get("DAYTONA_TEST_IMAGE", "python:3.12.10-slim-bookworm")


@pytest.fixture(scope="session")
def daytona() -> Daytona:
    return Daytona()


@pytest.fixture
async def async_daytona():
    async with AsyncDaytona() as client:
        yield client


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
