"""Credentials for other people's registries, by the generated client."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daytona import (
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    DaytonaError,
    DaytonaNotFoundError,
    Image,
)
from daytona_api_client import (
    ApiClient,
    ApiException,
    Configuration,
    CreateDockerRegistry,
    DockerRegistryApi,
    UpdateDockerRegistry,
)

# The fixture registry by its own name; what is below private/ there is the
# user's.
HOST = Path(os.environ["DAYTONA_UP_DIR"], "registry.url").read_text().strip().removeprefix("http://")
USER, PASSWORD = "fixture", "fixture-password"


@pytest.fixture
def api() -> Iterator[DockerRegistryApi]:
    config = Configuration(host=os.environ["DAYTONA_API_URL"], access_token=os.environ["DAYTONA_API_KEY"])
    with ApiClient(config) as client:
        api = DockerRegistryApi(client)
        yield api
        for registry in api.list_registries():
            api.delete_registry(registry.id)


def remove(daytona: Daytona, *names: str) -> None:
    for name in names:
        try:
            daytona.snapshot.delete(daytona.snapshot.get(name))
        except DaytonaNotFoundError:
            pass


def test_a_registry_is_kept_without_telling_its_password(api: DockerRegistryApi, name: str) -> None:
    made = api.create_registry(
        CreateDockerRegistry(name=name, url=HOST, username=USER, password=PASSWORD, project="private")
    )
    assert (made.name, made.url, made.username, made.project, made.registry_type) == (
        *(name, HOST, USER, "private", "organization"),
    )
    assert "warning" not in made.additional_properties
    assert [r.id for r in api.list_registries()] == [made.id]
    assert PASSWORD not in api.get_registry(made.id).to_json()

    update = UpdateDockerRegistry(name=name, url=HOST, username="other")
    changed = api.update_registry(made.id, update)
    assert (changed.username, changed.project) == ("other", "private")
    assert "refuses the user other" in changed.additional_properties["warning"]
    with pytest.raises(ApiException) as taken:
        api.create_registry(CreateDockerRegistry(name=name, url=HOST, username=USER, password=PASSWORD))
    assert taken.value.status == 409
    api.delete_registry(made.id)
    with pytest.raises(ApiException) as gone:
        api.get_registry(made.id)
    assert gone.value.status == 404


def test_private_images_are_pulled_and_built_on(daytona: Daytona, api: DockerRegistryApi, name: str) -> None:
    image, built = f"{HOST}/private/box:1", f"{name}-built"
    dockerfile = Image.base(image).run_commands("echo built >/built")
    try:
        with pytest.raises(DaytonaError, match="no credentials are known for"):
            daytona.snapshot.create(CreateSnapshotParams(name=name, image=image))
        with pytest.raises(DaytonaError, match=r"line 1 of the Dockerfile .*no credentials are known for"):
            daytona.snapshot.create(CreateSnapshotParams(name=built, image=dockerfile), on_logs=print)
        remove(daytona, name, built)

        api.create_registry(CreateDockerRegistry(name=name, url=HOST, username=USER, password=PASSWORD))
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=image))
        daytona.snapshot.create(CreateSnapshotParams(name=built, image=dockerfile), on_logs=print)
        sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=built))
        try:
            assert sandbox.process.exec("cat /built").result == "built\n"
        finally:
            sandbox.delete()
    finally:
        remove(daytona, name, built)
