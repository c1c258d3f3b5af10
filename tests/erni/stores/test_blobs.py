"""What is particular to blobs in a directory, and to an object store that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from erni.errors import BlobNotFound, ConfigError, StorageError
from erni.stores.blobs import FsspecBlobStore
from erni.stores.whole_files import TEMPORARY_PREFIX

WRITE_TOO_MUCH = """
import resource, sys
from pathlib import Path
from erni.errors import StorageFull
from erni.stores.blobs import FsspecBlobStore
directory = Path(sys.argv[1])
blobs = FsspecBlobStore(f"file://{directory}/blobs", temporary_dir=directory / "tmp")
upload = Path(sys.argv[2]) / "upload"
upload.write_bytes(bytes(2_000_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for put, content in ((blobs.put_bytes, bytes(2_000_000)), (blobs.put_file, upload)):
    try:
        put("jobs/a/source", content)
    except StorageFull as error:
        print(error.code, upload.exists())
"""


@pytest.fixture
def blobs(tmp_path: Path) -> FsspecBlobStore:
    return FsspecBlobStore(f"file://{tmp_path}/blobs", temporary_dir=tmp_path / "tmp")


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to copy from")
    with TemporaryDirectory(dir=shared_memory) as directory:
        yield Path(directory)


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_local_copy_in_a_directory_is_the_blob_itself(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    with blobs.local_copy("jobs/a/source") as local:
        assert local == tmp_path / "blobs/jobs/a/source"


def test_file_from_the_same_file_system_is_moved_not_copied(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"RIFF")
    inode = upload.stat().st_ino
    blobs.put_file("jobs/a/source", upload)
    assert (tmp_path / "blobs/jobs/a/source").stat().st_ino == inode


def test_file_from_another_file_system_is_copied_and_removed(
    blobs: FsspecBlobStore, other_file_system: Path, tmp_path: Path
) -> None:
    upload = other_file_system / "upload"
    upload.write_bytes(b"RIFF" * 100_000)
    blobs.put_file("jobs/a/source", upload)
    assert blobs.get_bytes("jobs/a/source") == b"RIFF" * 100_000
    assert not upload.exists()
    assert names_in(tmp_path / "blobs/jobs/a") == ["source"]


def test_full_disk_is_told_from_other_failures_and_loses_nothing(other_file_system: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WRITE_TOO_MUCH, str(tmp_path), str(other_file_system)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout == "storage_full True\n" * 2
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_deleted_tree_leaves_no_directory(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/chunks/00001.json", b"{}")
    blobs.delete_tree("jobs/a")
    assert list((tmp_path / "blobs/jobs").iterdir()) == []


def test_leftovers_of_a_dead_writer_are_no_blobs_but_keep_their_root_listed(
    blobs: FsspecBlobStore, tmp_path: Path
) -> None:
    leftover = tmp_path / f"blobs/jobs/a/{TEMPORARY_PREFIX}00-source"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    (tmp_path / f"blobs/jobs/{TEMPORARY_PREFIX}01-b").touch()
    assert [name for name, _ in blobs.list_roots("jobs")] == ["a"]
    assert blobs.delete_tree("jobs/a") == 0
    assert not leftover.parent.exists()


def test_stale_leftovers_among_the_blobs_are_removed(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    leftover = tmp_path / f"blobs/jobs/a/{TEMPORARY_PREFIX}00-source"
    leftover.touch()
    assert blobs.remove_stale_temporaries(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert blobs.remove_stale_temporaries(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert names_in(leftover.parent) == ["source"]


def test_empty_root_is_listed_so_that_it_can_be_deleted(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs/jobs/a").mkdir(parents=True)
    assert [name for name, _ in blobs.list_roots("jobs")] == ["a"]


def test_directory_that_cannot_be_written_fails_the_ping(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"a file where the directory should be")
    with pytest.raises(StorageError, match="directory or bucket"):
        blobs.ping()
    with pytest.raises(StorageError):
        blobs.put_bytes("jobs/a/source", b"RIFF")


def test_bucket_that_is_missing_fails_the_ping(s3_server: str, tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    options = {"endpoint_url": s3_server, "key": "key", "secret": "secret"}
    blobs = FsspecBlobStore("s3://no-such-bucket", temporary_dir=tmp_path, storage_options=options)
    with pytest.raises(StorageError):
        blobs.ping()
    with pytest.raises(StorageError) as failure:
        blobs.put_bytes("jobs/a/source", b"RIFF")
    assert not isinstance(failure.value, BlobNotFound)


def test_server_that_does_not_answer_is_not_mistaken_for_a_missing_blob(tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    options = {
        "endpoint_url": "http://127.0.0.1:1", "key": "key", "secret": "secret",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }  # fmt: skip
    blobs = FsspecBlobStore("s3://bucket", temporary_dir=tmp_path, storage_options=options)
    for use in (blobs.ping, lambda: blobs.exists("jobs/a/source"), lambda: blobs.get_bytes("jobs/a/source")):
        with pytest.raises(StorageError) as failure:
            use()
        assert not isinstance(failure.value, BlobNotFound)


@pytest.mark.parametrize("url", ["gopher://blobs", "carrier-pigeon://"])
def test_url_that_cannot_hold_blobs_is_a_config_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="file:///path"):
        FsspecBlobStore(url, temporary_dir=tmp_path)
