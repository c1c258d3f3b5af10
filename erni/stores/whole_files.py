"""Files that appear whole or not at all, even if the writer dies or the power fails. Knows nothing of blobs.

A file is written beside its place under a temporary name, ``.partial-<32 hex digits>-<name>``, synced to
the disk and renamed, which is atomic within a file system. A dead writer's leftovers are found by that name.
No file is changed once it has its name, so that several names may share one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

TEMPORARY_PREFIX: Final = ".partial-"

_SYNC_FILE_RANGE_WRITE: Final = 2
_sync_file_range: Final = getattr(ctypes.CDLL(None), "sync_file_range", None)


def temporary_beside(path: Path) -> Path:
    """A name no one else uses, in the same directory and with the same suffix as ``path``."""
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex}-{path.name}")


def write_file(path: Path, content: bytes) -> None:
    """Create or replace ``path``, making its directory where needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as file:
        file.write(content)
    _sync(path.parent)


def move_file(source: Path, path: Path) -> None:
    """Move ``source`` to ``path``, over what is there; copies where they lie on different file systems.

    Raises OSError; ``source`` is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sync(source)
    try:
        source.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, path)
        source.unlink()
    _sync(path.parent)


def share_file(source: Path, path: Path) -> None:
    """Give the file ``source`` a second name, over what is there; copies where it cannot be linked. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        os.link(source, temporary)
    except OSError:
        # Another file system, one without links, or too many of them. If it is none of these, the copy says what is.
        _copy(source, path)
    else:
        try:
            temporary.replace(path)
        finally:
            # Where both names were one file before, renaming did nothing (rename(2)).
            temporary.unlink(missing_ok=True)
    _sync(path.parent)


def start_writing_back(descriptor: int, offset: int, length_bytes: int) -> None:
    """Have the kernel begin to write these pages now, so that a sync at the end finds little left to wait for.

    Linux only (``sync_file_range(2)`` with SYNC_FILE_RANGE_WRITE, which Python does not offer); elsewhere nothing
    happens, and a failure costs only speed.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length_bytes), _SYNC_FILE_RANGE_WRITE)


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as original, _replacing(path) as copy:
        shutil.copyfileobj(original, copy)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
