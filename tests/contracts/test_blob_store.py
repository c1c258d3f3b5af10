"""What every ``BlobStore`` promises, over a directory and over an S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from erni.errors import BlobNotFound, StorageError
from erni.stores.blobs import FsspecBlobStore
from erni.stores.whole_files import TEMPORARY_PREFIX

OPEN = """
import json, os, sys
from pathlib import Path
from erni.errors import BlobNotFound, ErniError
from erni.stores.blobs import FsspecBlobStore
blobs = FsspecBlobStore(sys.argv[1], temporary_dir=Path(sys.argv[2]), storage_options=json.loads(sys.argv[3]))
"""
WRITE_FOREVER = (
    OPEN
    + """
while True:
    for digit in b"0123456789":
        blobs.put_bytes("jobs/a/source", bytes([digit]) * 4_000_000)
"""
)
USE_AFTER_FORK = (
    OPEN
    + """
blobs.put_bytes("jobs/a/source", b"parent")
print("ready", flush=True)
input()
child = os.fork()
if child == 0:
    blobs.put_bytes("jobs/a/turns.json", blobs.get_bytes("jobs/a/source"))
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), blobs.get_bytes("jobs/a/turns.json"))
"""
)


@pytest.fixture(params=["directory", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """URL and options of an empty store."""
    if request.param == "directory":
        return f"file://{tmp_path}/blobs", {}
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    endpoint = request.getfixturevalue("s3_server")
    options = {"endpoint_url": endpoint, "key": "key", "secret": "secret"}
    return request.getfixturevalue("s3_url"), options


@pytest.fixture
def arguments(location: tuple[str, dict[str, str]], tmp_path: Path) -> list[str]:
    """The store as a script takes it."""
    url, options = location
    return [url, str(tmp_path / "tmp"), json.dumps(options)]


@pytest.fixture
def blobs(location: tuple[str, dict[str, str]], tmp_path: Path) -> FsspecBlobStore:
    url, options = location
    return FsspecBlobStore(url, temporary_dir=tmp_path / "tmp", storage_options=options)


@pytest.fixture
def upload(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "upload"
    path.write_bytes(b"RIFF")
    return path


def test_bytes_come_back_as_they_were_put(blobs: FsspecBlobStore) -> None:
    content = bytes(range(256)) * 4096
    blobs.put_bytes("jobs/a/chunks/00001.json", content)
    assert blobs.get_bytes("jobs/a/chunks/00001.json") == content


def test_empty_blob_is_a_blob(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/source", b"")
    assert blobs.exists("jobs/a/source")
    assert blobs.get_bytes("jobs/a/source") == b""


def test_second_put_replaces_the_first(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/plan.json", b"first")
    blobs.put_bytes("jobs/a/plan.json", b"2nd")
    assert blobs.get_bytes("jobs/a/plan.json") == b"2nd"


def test_put_file_consumes_the_local_file(blobs: FsspecBlobStore, upload: Path) -> None:
    blobs.put_file("jobs/a/source", upload)
    assert blobs.get_bytes("jobs/a/source") == b"RIFF"
    assert not upload.exists()


def test_put_file_replaces_what_was_there(blobs: FsspecBlobStore, upload: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"earlier, longer content")
    blobs.put_file("jobs/a/source", upload)
    assert blobs.get_bytes("jobs/a/source") == b"RIFF"


def test_put_of_a_file_that_is_not_there_is_a_storage_error(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        blobs.put_file("jobs/a/source", tmp_path / "nothing")
    assert not blobs.exists("jobs/a/source")


def test_only_a_blob_exists(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    assert blobs.exists("jobs/a/source")
    assert not any(map(blobs.exists, ["jobs/a", "jobs/a/sourc", "jobs/a/source/x", "jobs/b/source"]))


@pytest.mark.parametrize("path", ["jobs/b/source", "jobs/a", "jobs/a/source/x"])
def test_what_is_no_blob_is_not_found(blobs: FsspecBlobStore, path: str) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    with pytest.raises(BlobNotFound, match=path):
        blobs.get_bytes(path)
    with pytest.raises(BlobNotFound, match=path), blobs.local_copy(path):
        pytest.fail("a copy of nothing was made")


def test_copy_has_the_content_and_the_original_stays(blobs: FsspecBlobStore) -> None:
    content = bytes(range(256)) * 4096
    blobs.put_bytes("jobs/a/audio.flac", content)
    blobs.copy("jobs/a/audio.flac", "jobs/b/chunks/00001.flac")
    assert blobs.get_bytes("jobs/b/chunks/00001.flac") == content
    assert blobs.get_bytes("jobs/a/audio.flac") == content


def test_copy_replaces_what_was_there_also_when_it_is_made_again(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/plan.json", b"{}")
    blobs.put_bytes("jobs/b/plan.json", b"earlier, longer content")
    for _ in range(2):
        blobs.copy("jobs/a/plan.json", "jobs/b/plan.json")
        assert blobs.get_bytes("jobs/b/plan.json") == b"{}"
    assert blobs.delete_tree("jobs/b") == 1


@pytest.mark.parametrize("replaced", ["original", "copy"])
def test_what_replaces_a_blob_does_not_reach_its_copies(blobs: FsspecBlobStore, upload: Path, replaced: str) -> None:
    paths = {"original": "jobs/a/source", "copy": "jobs/b/source"}
    (kept,) = paths.keys() - {replaced}
    blobs.put_bytes(paths["original"], b"1st")
    blobs.copy(paths["original"], paths["copy"])
    blobs.put_bytes(paths[replaced], b"second")
    assert blobs.get_bytes(paths[kept]) == b"1st"
    blobs.copy(paths[kept], paths[replaced])
    blobs.put_file(paths[replaced], upload)
    assert blobs.get_bytes(paths[kept]) == b"1st"
    assert blobs.get_bytes(paths[replaced]) == b"RIFF"


def test_copy_outlives_its_original(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/turns.json", b"[]")
    blobs.copy("jobs/a/turns.json", "jobs/b/turns.json")
    assert blobs.delete_tree("jobs/a") == 1
    assert blobs.get_bytes("jobs/b/turns.json") == b"[]"


@pytest.mark.parametrize("path", ["jobs/b/source", "jobs/a", "jobs/a/source/x"])
def test_copy_of_what_is_no_blob_is_not_found_and_changes_nothing(blobs: FsspecBlobStore, path: str) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    blobs.put_bytes("jobs/c/source", b"kept")
    for to in ("jobs/c/source", "jobs/d/source"):
        with pytest.raises(BlobNotFound, match=path):
            blobs.copy(path, to)
    assert blobs.get_bytes("jobs/c/source") == b"kept"
    assert [name for name, _ in blobs.list_roots("jobs")] == ["a", "c"]


def test_copies_made_by_many_threads_are_all_whole(blobs: FsspecBlobStore) -> None:
    content = b"fLaC" * 50_000
    blobs.put_bytes("jobs/a/audio.flac", content)

    def copy_and_read(part: int) -> bytes:
        to = f"jobs/b/{part % 3}.flac"
        blobs.copy("jobs/a/audio.flac", to)
        return blobs.get_bytes(to)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(copy_and_read, range(24))) == {content}
    assert blobs.delete_tree("jobs/b") == 3


def test_copy_is_a_change_of_the_root_it_goes_to(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    # An object store tells whole seconds only.
    time.sleep(1.1)
    blobs.copy("jobs/a/source", "jobs/b/source")
    (_, original_at), (_, copied_at) = blobs.list_roots("jobs")
    assert copied_at > original_at


def test_local_copy_has_the_content_and_the_suffix(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/audio.flac", b"fLaC" * 1000)
    with blobs.local_copy("jobs/a/audio.flac") as local:
        assert local.read_bytes() == b"fLaC" * 1000
        assert local.suffix == ".flac"


def test_local_copy_leaves_nothing_behind_and_no_error_is_disguised(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/audio.flac", b"fLaC")
    with pytest.raises(FileNotFoundError), blobs.local_copy("jobs/a/audio.flac"):
        (tmp_path / "nothing").read_bytes()
    assert list(tmp_path.glob("tmp/*")) == []
    assert blobs.get_bytes("jobs/a/audio.flac") == b"fLaC"


def test_deleting_a_tree_counts_its_blobs_and_spares_its_neighbours(blobs: FsspecBlobStore) -> None:
    for path in ("jobs/a/source", "jobs/a/chunks/00001.flac", "jobs/a/chunks/00001.json", "jobs/ab/source"):
        blobs.put_bytes(path, b"RIFF")
    assert blobs.delete_tree("jobs/a") == 3
    assert [name for name, _ in blobs.list_roots("jobs")] == ["ab"]
    assert blobs.get_bytes("jobs/ab/source") == b"RIFF"


def test_deleting_what_is_gone_deletes_nothing(blobs: FsspecBlobStore) -> None:
    assert blobs.delete_tree("jobs/a") == 0
    blobs.put_bytes("jobs/a/source", b"RIFF")
    blobs.delete_tree("jobs/a")
    assert blobs.delete_tree("jobs/a") == 0


def test_tree_deleted_by_many_threads_is_gone(blobs: FsspecBlobStore) -> None:
    for part in range(20):
        blobs.put_bytes(f"jobs/a/chunks/{part:05d}.json", b"{}")
    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(lambda _: blobs.delete_tree("jobs/a"), range(4)))
    assert max(counts) == 20
    assert blobs.delete_tree("jobs/a") == 0
    assert list(blobs.list_roots("jobs")) == []


def test_roots_are_listed_with_the_moment_of_their_last_change(blobs: FsspecBlobStore) -> None:
    began_at = datetime.now(UTC).replace(microsecond=0)
    blobs.put_bytes("jobs/b/chunks/00001.json", b"{}")
    blobs.put_bytes("jobs/a/source", b"RIFF")
    roots = list(blobs.list_roots("jobs"))
    assert [name for name, _ in roots] == ["a", "b"]
    for _, changed_at in roots:
        assert changed_at.utcoffset() == timedelta(0)
        assert began_at <= changed_at <= datetime.now(UTC)


def test_change_deep_below_a_root_is_its_last_change(blobs: FsspecBlobStore) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    blobs.put_bytes("jobs/a/chunks/00001.json", b"{}")
    ((_, before),) = blobs.list_roots("jobs")
    # An object store tells whole seconds only.
    time.sleep(1.1)
    blobs.put_bytes("jobs/a/chunks/00001.json", b"[]")
    ((_, after),) = blobs.list_roots("jobs")
    assert after > before


def test_nothing_is_listed_below_what_is_not_there(blobs: FsspecBlobStore) -> None:
    assert list(blobs.list_roots("jobs")) == []


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../outside", "jobs/../../outside", "jobs/a/..", "jobs//a", "jobs/a/", "./jobs",
     "jobs/*", "jobs/[ab]", "jobs/a\\b", "jobs/a\0b", "jobs/a\n", "s3://other/jobs",
     f"jobs/{TEMPORARY_PREFIX}a"],
)  # fmt: skip
def test_path_that_could_lead_elsewhere_is_refused(blobs: FsspecBlobStore, path: str, upload: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    for use in (
        lambda: blobs.put_bytes(path, b""),
        lambda: blobs.put_file(path, upload),
        lambda: blobs.get_bytes(path),
        lambda: blobs.exists(path),
        lambda: blobs.copy(path, "jobs/b/source"),
        lambda: blobs.copy("jobs/a/source", path),
        lambda: blobs.local_copy(path).__enter__(),
        lambda: blobs.delete_tree(path),
        lambda: list(blobs.list_roots(path)),
    ):
        with pytest.raises(StorageError, match="path of a blob"):
            use()
    assert upload.exists()
    assert blobs.get_bytes("jobs/a/source") == b"RIFF"


def test_reader_never_sees_half_a_blob_and_a_killed_writer_leaves_none(
    blobs: FsspecBlobStore, arguments: list[str]
) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, *arguments])
    try:
        while not blobs.exists("jobs/a/source"):
            time.sleep(0.01)
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert_whole(blobs.get_bytes("jobs/a/source"))
    finally:
        writer.kill()
        writer.wait()
    assert_whole(blobs.get_bytes("jobs/a/source"))
    assert blobs.delete_tree("jobs/a") == 1


def assert_whole(content: bytes) -> None:
    assert len(content) == 4_000_000
    assert content == content[:1] * len(content)


def test_threads_may_share_a_store(blobs: FsspecBlobStore) -> None:
    def use(part: int) -> bytes:
        blobs.put_bytes(f"jobs/a/chunks/{part:05d}.json", b"%d" % part)
        return blobs.get_bytes(f"jobs/a/chunks/{part:05d}.json")

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(40))) == [b"%d" % part for part in range(40)]


def test_store_serves_a_forked_child_and_its_parent(
    arguments: list[str], run_together: Callable[..., list[str]]
) -> None:
    assert run_together(USE_AFTER_FORK, *arguments, processes=1) == ["0 b'parent'\n"]


def test_stale_temporaries_go_and_fresh_ones_stay(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    stale, fresh = (tmp_path / f"tmp/{TEMPORARY_PREFIX}{name}-source" for name in ("00", "01"))
    stale.parent.mkdir(exist_ok=True)
    stale.touch()
    time.sleep(0.1)
    between = datetime.now(UTC)
    time.sleep(0.1)
    fresh.touch()
    assert blobs.remove_stale_temporaries(between) == 1
    assert list(stale.parent.iterdir()) == [fresh]
    assert blobs.exists("jobs/a/source")


def test_store_in_order_answers_a_ping(blobs: FsspecBlobStore) -> None:
    blobs.ping()
    assert list(blobs.list_roots("jobs")) == []
