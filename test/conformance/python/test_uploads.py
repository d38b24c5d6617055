"""The S3 endpoint, as the official SDK's own client uses it."""

import os
import uuid
from pathlib import Path

import obstore
import pytest
from daytona import Daytona
from daytona._sync.object_storage import ObjectStorage
from daytona_api_client import StorageAccessDto


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
