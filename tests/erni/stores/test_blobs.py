"""What is particular to blobs in a directory, and to an object store that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from erni.errors import BlobNotFound, ConfigError, StorageError
from erni.stores.blobs import FsspecBlobStore
from erni.stores.whole_files import TEMPORARY_PREFIX

OPEN = """
import sys
from pathlib import Path
from erni.errors import StorageError
from erni.stores.blobs import FsspecBlobStore
directory = Path(sys.argv[1])
blobs = FsspecBlobStore(f"file://{directory}/blobs", temporary_dir=directory / "tmp")

def attempt(use, *arguments):
    try:
        use(*arguments)
    except StorageError as error:
        print(error.code)
    else:
        print("done")
"""
# A limit on the size of files stands for a full disk: the bytes before it are written, those after it are refused.
WRITE_TOO_MUCH = (
    OPEN
    + """
import resource
upload = Path(sys.argv[2], "upload")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
attempt(blobs.put_bytes, "jobs/a/source", bytes(2_000_000))
attempt(blobs.put_file, "jobs/a/source", upload)
attempt(blobs.copy, "jobs/elsewhere/source", "jobs/a/source")
attempt(blobs.put_bytes, "jobs/a/plan.json", b"{}")
"""
)
DOWNLOAD_TOO_MUCH = """
import resource, sys
from pathlib import Path
from erni.errors import StorageFull
from erni.stores.blobs import FsspecBlobStore
options = {"endpoint_url": sys.argv[2], "key": "key", "secret": "secret"}
blobs = FsspecBlobStore(sys.argv[1], temporary_dir=Path(sys.argv[3]), storage_options=options)
blobs.put_bytes("jobs/a/source", bytes(2_000_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    with blobs.local_copy("jobs/a/source"):
        print("done")
except StorageFull as error:
    print(error.code)
"""
# Root may write where the mode forbids it, unless it gives up that capability (capset(2)); others have none to lose.
WRITE_WHERE_ONLY_READING_IS_ALLOWED = (
    OPEN
    + """
import ctypes
from datetime import UTC, datetime, timedelta
if sys.platform == "linux":
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
upload = directory / "upload"
attempt(blobs.put_bytes, "jobs/a/source", b"new")
attempt(blobs.put_bytes, "jobs/b/source", b"new")
attempt(blobs.put_file, "jobs/a/source", upload)
attempt(blobs.copy, "jobs/a/source", "jobs/a/copy")
attempt(blobs.delete_tree, "jobs/a")
attempt(blobs.remove_stale_temporaries, datetime.now(UTC) + timedelta(hours=1))
attempt(blobs.ping)
print(blobs.get_bytes("jobs/a/source"), upload.exists())
"""
)
WRITE_FOREVER = (
    OPEN
    + """
while True:
    blobs.put_bytes("jobs/a/source", bytes(50_000_000))
"""
)


class BreaksOff(BaseHTTPRequestHandler):
    """An object store that promises more than it sends."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.send_header("ETag", '"00"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(bytes(1000))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


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


def files_below(directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]


def printed_by(script: str, *arguments: object) -> list[str]:
    """The lines a script prints in a process of its own, because it limits what it may do for good."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


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


def test_copy_in_a_directory_takes_no_space_and_leaves_nothing_else(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    for _ in range(2):
        blobs.copy("jobs/a/source", "jobs/b/source")
        assert (tmp_path / "blobs/jobs/b/source").samefile(tmp_path / "blobs/jobs/a/source")
        assert names_in(tmp_path / "blobs/jobs/b") == ["source"]


def test_copy_of_an_old_blob_is_news_of_the_root_it_goes_to(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    os.utime(tmp_path / "blobs/jobs/a/source", (0, 0))
    began_at = datetime.now(UTC) - timedelta(seconds=1)
    blobs.copy("jobs/a/source", "jobs/b/source")
    assert [changed_at > began_at for name, changed_at in blobs.list_roots("jobs") if name == "b"] == [True]


def test_copy_to_another_file_system_is_whole(blobs: FsspecBlobStore, other_file_system: Path, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF" * 100_000)
    (tmp_path / "blobs/jobs/b").symlink_to(other_file_system)
    for _ in range(2):
        blobs.copy("jobs/a/source", "jobs/b/source")
        assert blobs.get_bytes("jobs/b/source") == b"RIFF" * 100_000
        assert names_in(other_file_system) == ["source"]


@pytest.mark.parametrize("to", ["jobs/b", "jobs/b/source/x", "jobs/b/source/x/y"])
def test_copy_to_where_no_file_can_be_is_not_mistaken_for_a_missing_blob(
    blobs: FsspecBlobStore, tmp_path: Path, to: str
) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    blobs.put_bytes("jobs/b/source", b"kept")
    with pytest.raises(StorageError) as failure:
        blobs.copy("jobs/a/source", to)
    assert not isinstance(failure.value, BlobNotFound)
    assert sorted(files_below(tmp_path)) == ["blobs/jobs/a/source", "blobs/jobs/b/source"]
    assert blobs.get_bytes("jobs/b/source") == b"kept"


def test_full_disk_is_told_from_other_failures_and_loses_nothing(
    blobs: FsspecBlobStore, other_file_system: Path, tmp_path: Path
) -> None:
    blobs.put_bytes("jobs/a/source", b"earlier")
    (tmp_path / "blobs/jobs/elsewhere").symlink_to(other_file_system)
    for name in ("upload", "source"):
        (other_file_system / name).write_bytes(bytes(2_000_000))
    assert printed_by(WRITE_TOO_MUCH, tmp_path, other_file_system) == ["storage_full"] * 3 + ["done"]
    assert blobs.get_bytes("jobs/a/source") == b"earlier"
    assert sorted(files_below(tmp_path / "blobs/jobs/a")) == ["plan.json", "source"]
    assert sorted(files_below(other_file_system)) == ["source", "upload"]


def test_full_disk_leaves_no_half_of_a_local_copy(s3_server: str, s3_url: str, tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    assert printed_by(DOWNLOAD_TOO_MUCH, s3_url, s3_server, tmp_path / "tmp") == ["storage_full"]
    assert files_below(tmp_path) == []


def test_disk_that_cannot_be_written_refuses_each_change_and_is_still_read(
    blobs: FsspecBlobStore, tmp_path: Path
) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    (tmp_path / f"blobs/jobs/a/{TEMPORARY_PREFIX}00-source").touch()
    (tmp_path / "upload").touch()
    before = files_below(tmp_path)
    directories = [tmp_path / "blobs", tmp_path / "blobs/jobs", tmp_path / "blobs/jobs/a"]
    for directory in directories:
        directory.chmod(0o555)
    printed = printed_by(WRITE_WHERE_ONLY_READING_IS_ALLOWED, tmp_path)
    for directory in directories:
        directory.chmod(0o755)
    assert printed == ["storage_error"] * 7 + ["b'RIFF' True"]
    assert files_below(tmp_path) == before


def test_clean_up_removes_what_a_killed_writer_left_and_nothing_else(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/plan.json", b"{}")
    directory = tmp_path / "blobs/jobs/a"
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(tmp_path)])
    try:
        is_writing = False
        while not is_writing:
            writer.send_signal(signal.SIGCONT)
            time.sleep(0.02)
            # Stopped, it cannot finish what it is at before it is killed.
            writer.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            assert writer.poll() is None
            is_writing = bool(list(directory.glob(f"{TEMPORARY_PREFIX}*")))
    finally:
        writer.kill()
        writer.wait()
    blobs.put_bytes("jobs/a/source", b"RIFF")
    assert blobs.remove_stale_temporaries(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert sorted(names_in(directory)) == ["plan.json", "source"]


def test_link_made_just_now_is_not_stale_though_its_file_is_old(blobs: FsspecBlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("jobs/a/source", b"RIFF")
    blob = tmp_path / "blobs/jobs/a/source"
    os.utime(blob, (0, 0))
    blob.with_name(f"{TEMPORARY_PREFIX}00-source").hardlink_to(blob)
    assert blobs.remove_stale_temporaries(datetime.now(UTC) - timedelta(hours=1)) == 0


def test_download_that_breaks_off_is_never_taken_for_a_blob(tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    with ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        options = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "key": "key", "secret": "secret"}
        blobs = FsspecBlobStore("s3://bucket", temporary_dir=tmp_path, storage_options=options)
        with pytest.raises(StorageError):
            blobs.get_bytes("jobs/a/source")
        with pytest.raises(StorageError), blobs.local_copy("jobs/a/source"):
            pytest.fail("a part was taken for the whole")
        server.shutdown()
    assert files_below(tmp_path) == []


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
    upload = tmp_path / "upload"
    upload.write_bytes(b"RIFF")
    for put in (lambda: blobs.put_bytes("jobs/a/source", b"RIFF"), lambda: blobs.put_file("jobs/a/source", upload)):
        with pytest.raises(StorageError) as failure:
            put()
        assert not isinstance(failure.value, BlobNotFound)
    assert upload.exists()


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
