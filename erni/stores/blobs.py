"""Blobs in a directory or an object store, through fsspec. Knows paths and bytes, not what they mean.

A directory gets each blob by rename, an object store by an upload that shows when it is complete: nothing
half-written ever has a blob's name. What a writer that died leaves carries ``whole_files.TEMPORARY_PREFIX``.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from erni.errors import BlobNotFound, ConfigError, ErniError, StorageError, StorageFull
from erni.stores.whole_files import TEMPORARY_PREFIX, move_file, share_file, temporary_beside, write_file

# Only these characters, because fsspec takes others for patterns: a path with "*" would mean many blobs.
_PATH: Final = re.compile(r"(?!\.)[A-Za-z0-9._-]+(/(?!\.)[A-Za-z0-9._-]+)*")
# A file larger than the process or the file system may write (EFBIG) is a quota by another name.
_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FsspecBlobStore:
    """``ports.BlobStore`` below an fsspec URL: ``file:///var/lib/erni/blobs``, ``s3://bucket/prefix``.

    ``temporary_dir`` takes local copies of remote blobs. Threads may share an instance; it survives a fork.
    """

    def __init__(self, url: str, *, temporary_dir: Path, storage_options: Mapping[str, object] | None = None) -> None:
        """Raises ConfigError: the URL names no file system fsspec knows, or its library is not installed."""
        self._url = url
        self._temporary_dir = temporary_dir
        # Other processes write too, so a listing remembered here would be wrong.
        self._storage_options = {**(storage_options or {}), "use_listings_cache": False}
        self._connect()
        is_local = isinstance(self._connection, LocalFileSystem)
        self._directory = Path(self._root) if is_local else None

    def put_file(self, path: str, local: Path) -> None:
        blob = self._locate(path)
        with _storage_errors():
            if self._directory is not None:
                move_file(local, Path(blob))
            else:
                self._filesystem.put_file(str(local), blob)
                local.unlink()

    def put_bytes(self, path: str, content: bytes) -> None:
        blob = self._locate(path)
        with _storage_errors():
            if self._directory is not None:
                write_file(Path(blob), content)
            else:
                self._filesystem.pipe_file(blob, content)

    def get_bytes(self, path: str) -> bytes:
        blob = self._locate(path)
        with _storage_errors(), _absence(path):
            content: bytes = self._filesystem.cat_file(blob)
        return content

    def exists(self, path: str) -> bool:
        blob = self._locate(path)
        with _storage_errors():
            try:
                return bool(self._filesystem.info(blob)["type"] == "file")
            except (FileNotFoundError, NotADirectoryError):
                return False

    def copy(self, path: str, to: str) -> None:
        blob, target = self._locate(path), self._locate(to)
        with _storage_errors():
            if self._directory is None:
                with _absence(path):
                    self._filesystem.cp_file(blob, target)
            elif Path(blob).is_file():
                share_file(Path(blob), Path(target))
            else:
                raise _not_found(path)

    @contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """The file keeps the suffix of the blob's name. A blob itself must not be changed."""
        blob = self._locate(path)
        if self._directory is not None:
            if not Path(blob).is_file():
                raise _not_found(path)
            yield Path(blob)
            return
        temporary = temporary_beside(self._temporary_dir / Path(blob).name)
        try:
            with _storage_errors(), _absence(path):
                self._temporary_dir.mkdir(parents=True, exist_ok=True)
                self._filesystem.get_file(blob, str(temporary))
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def delete_tree(self, root: str) -> int:
        """The directory ``root`` goes too; leftovers of dead writers go uncounted."""
        place = self._locate(root)
        with _storage_errors():
            blobs = [name for name in self._filesystem.find(place) if not _is_temporary(name)]
            # Another process may be deleting the same tree.
            with suppress(FileNotFoundError):
                self._filesystem.rm(place, recursive=True)
        return len(blobs)

    def list_roots(self, root: str) -> Iterator[tuple[str, datetime]]:
        """A directory's last change is that of the newest thing anywhere below it."""
        place = self._locate(root)
        with _storage_errors():
            try:
                names = self._filesystem.ls(place, detail=False)
            except FileNotFoundError:
                names = []
        for name in sorted(names):
            with _storage_errors():
                changed_at = self._last_change(name)
            if changed_at is not None and not _is_temporary(name):
                yield Path(name).name, changed_at

    def ping(self) -> None:
        """Raises StorageError when the directory cannot be written, or the bucket cannot be found."""
        with _storage_errors():
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self._directory):
                    pass
            else:
                self._filesystem.info(self._root.split("/")[0])

    def remove_stale_temporaries(self, older_than: datetime) -> int:
        """Remove what writers and readers that died left before ``older_than``; returns how many files."""
        removed = 0
        directories = [self._temporary_dir] if self._directory is None else [self._temporary_dir, self._directory]
        with _storage_errors():
            for temporary in {file for directory in directories for file in _find_temporaries(directory)}:
                with suppress(FileNotFoundError):
                    # Not st_mtime: a link made just now has that of the old file it shares.
                    if temporary.stat().st_ctime < older_than.timestamp():
                        temporary.unlink()
                        removed += 1
        return removed

    def _connect(self) -> None:
        try:
            self._connection, root = url_to_fs(self._url, **self._storage_options)
        except ImportError:
            raise ConfigError(f"The library for {self._url} is not installed. For S3, install erni[s3].") from None
        except ValueError:
            raise ConfigError(f"Blobs cannot be kept in {self._url}. Write file:///path or s3://bucket.") from None
        self._root: str = root.rstrip("/")
        self._process_id = os.getpid()

    @property
    def _filesystem(self) -> AbstractFileSystem:
        # fsspec's remote file systems refuse to work in a child forked after they were made.
        if self._process_id != os.getpid():
            self._connect()
        return self._connection

    def _locate(self, path: str) -> str:
        if not _PATH.fullmatch(path):
            raise StorageError(f"{path!r} cannot be the path of a blob.")
        return f"{self._root}/{path}"

    def _last_change(self, place: str) -> datetime | None:
        entries = self._filesystem.find(place, withdirs=True, detail=True).values()
        return max(filter(None, map(_changed_at, entries)), default=None)


def _changed_at(entry: Mapping[str, Any]) -> datetime | None:
    """When this entry of a listing changed; an object store's directories are made up and never do."""
    moment = entry.get("LastModified", entry.get("mtime"))
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return None if moment is None else datetime.fromtimestamp(moment, UTC)


def _is_temporary(name: str) -> bool:
    return Path(name).name.startswith(TEMPORARY_PREFIX)


def _find_temporaries(directory: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(directory):
        yield from (Path(parent, name) for name in names if _is_temporary(name))


def _not_found(path: str) -> BlobNotFound:
    return BlobNotFound(f"The blob {path} does not exist, or no longer. Submit the recording again.")


@contextmanager
def _absence(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise _not_found(path) from error


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except ErniError:
        raise
    except Exception as error:  # each object store's library raises errors of its own, related to nothing
        if isinstance(error, OSError) and error.errno in _FULL_ERRNOS:
            raise StorageFull(
                "The blobs have no space left: free some on their disk or raise the quota, then try again."
            ) from error
        raise StorageError(
            "The blobs cannot be read or written: check that their directory or bucket exists, can be "
            "reached and lets Erni in, then try again."
        ) from error
