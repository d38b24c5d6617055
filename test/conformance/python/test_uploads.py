"""The S3 endpoint, as the official SDK's own client uses it."""

import io
import os
import tarfile
import uuid
from pathlib import Path

import obstore
import pytest
from daytona import AsyncDaytona, Daytona, Image
from daytona._async.object_storage import AsyncObjectStorage
from daytona._sync.object_storage import ObjectStorage
from daytona_api_client import StorageAccessDto

from conftest import IMAGE, done


@pytest.fixture(scope="module")
def access(daytona: Daytona) -> StorageAccessDto:
    return daytona._object_storage_api.get_push_access()


@pytest.fixture(scope="module")
def storage(access: StorageAccessDto) -> ObjectStorage:
    return ObjectStorage(
        access.storage_url, access.access_key, access.secret, access.session_token, access.bucket, region=access.region
    )


def test_a_folder_is_uploaded_once_and_in_parts(
    access: StorageAccessDto, storage: ObjectStorage, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(12 << 20))  # three parts
    content_hash = storage.upload(str(tmp_path), access.organization_id, "folder")
    key = f"{access.organization_id}/{content_hash}/context.tar"
    uploaded = storage.store.head(key)
    assert uploaded["size"] > 12 << 20
    assert storage.upload(str(tmp_path), access.organization_id, "folder") == content_hash
    assert storage.store.head(key)["last_modified"] == uploaded["last_modified"]
    assert len(bytes(storage.store.get(key).bytes())) == uploaded["size"]


def test_small_archives_and_lists(access: StorageAccessDto, storage: ObjectStorage) -> None:
    folder = f"{access.organization_id}/{uuid.uuid4().hex}"
    with pytest.raises(FileNotFoundError):
        storage.store.head(f"{folder}/context.tar")
    storage.store.put(f"{folder}/context.tar", b"archive")
    (page,) = list(storage.store.list(prefix=folder))
    assert [found["path"] for found in page] == [f"{folder}/context.tar"]


@pytest.mark.parametrize("key", ["{other}/h/context.tar", "{own}/h/other.tar", "{own}/context.tar", "h/context.tar"])
def test_nothing_else_is_taken(access: StorageAccessDto, storage: ObjectStorage, key: str) -> None:
    named = key.format(own=access.organization_id, other=uuid.uuid4())
    with pytest.raises((obstore.exceptions.BaseError, PermissionError)):
        storage.store.put(named, b"archive")


async def test_what_an_image_copies_is_uploaded_by_both_clients(client, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(100))
    file, api = str(tmp_path / "file"), client._object_storage_api
    (key,) = await done(client.snapshot.process_image_context(api, Image.base(IMAGE).add_local_file(file, "/file")))
    given = await done(api.get_push_access())
    kind = AsyncObjectStorage if isinstance(client, AsyncDaytona) else ObjectStorage
    storage = kind(
        given.storage_url, given.access_key, given.secret, given.session_token, given.bucket, region=given.region
    )
    inside = storage.compute_archive_base_path(file)
    assert inside == file.removeprefix("/")
    assert await done(storage.upload(file, given.organization_id, inside)) == key
    stored = await (await storage.store.get_async(f"{given.organization_id}/{key}/context.tar")).bytes_async()
    with tarfile.open(fileobj=io.BytesIO(bytes(stored))) as tar:
        assert tar.getnames() == [inside] and tar.extractfile(inside).read() == (tmp_path / "file").read_bytes()
