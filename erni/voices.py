"""How voices sound: embeddings of short windows of speech, as chunks leave them behind. Knows no model and no store.

Stored as NumPy's own archive (``numpy.savez_compressed``), without pickles. Embeddings are kept in half precision:
their cosines, which alone are used, differ by less than 0.001 from those in single precision.
"""

from __future__ import annotations

import io
import tempfile
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.errors import DocumentDamaged, StorageFull

Embeddings = npt.NDArray[np.floating[Any]]
Windows = npt.NDArray[np.float64]

_SCHEMA_VERSION: Final = 1
_ROWS_AT_A_TIME: Final = 512
_MOST_BYTES_IN_MEMORY: Final = 4 * 1024 * 1024
"""Gathered voices beyond these, those of two hours of speech, wait on the disk."""


class StoredRows:
    """Rows of numbers in half precision, in memory while they are few, then in a file without a name in ``directory``.

    A slice or an array of indices reads just those rows. The file lives as long as this does.
    """

    def __init__(self, directory: Path | None) -> None:
        place = str(directory) if directory else None
        self._file = tempfile.SpooledTemporaryFile(_MOST_BYTES_IN_MEMORY, dir=place)  # noqa: SIM115  # closed below
        self._width = 0
        self._count = 0
        weakref.finalize(self, self._file.close)

    def append(self, rows: Embeddings) -> None:
        """Raises StorageFull. Not after the first row was read."""
        try:
            self._file.write(rows.astype(np.float16).tobytes())
        except OSError as error:
            raise StorageFull("The disk of temporary files has no room for a recording's voices.") from error
        self._count, self._width = self._count + len(rows), rows.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        return self._count, self._width

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, key: slice | npt.NDArray[np.int64]) -> Embeddings:
        row_bytes = self._width * np.dtype(np.float16).itemsize
        content = bytearray()
        for index in np.arange(self._count)[key].tolist():
            self._file.seek(index * row_bytes)
            content += self._file.read(row_bytes)
        return np.frombuffer(content, np.float16).reshape(-1, self._width)


Rows = Embeddings | StoredRows


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Where the speaker may change, and how voices sound there in windows shorter than the others.

    ``spans`` (m × 2) are sorted and disjoint; ``windows`` and ``embeddings`` are as in ``Voices``. Times in seconds.
    """

    spans: Windows
    windows: Windows
    embeddings: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """``windows`` holds start and end of each window in seconds of the recording (n × 2), ``embeddings`` one vector per
    window (n × dimensions), in half precision where they were stored. ``engine_s`` is what computing them took.
    ``changes`` is ``None`` where the engine looked for none.
    """

    engine: str
    model: str
    windows: Windows
    embeddings: Rows
    engine_s: float = 0.0
    changes: Changes | None = None


class _Gathered:
    """Windows of consecutive parts in memory, their embeddings in rows of their own."""

    def __init__(self, directory: Path | None) -> None:
        self._windows = bytearray()
        self.rows = StoredRows(directory)

    def append(self, windows: Windows, embeddings: Rows) -> None:
        self._windows += windows.astype(np.float64).tobytes()
        self.rows.append(embeddings[:])

    @property
    def windows(self) -> Windows:
        return np.frombuffer(self._windows, np.float64).reshape(-1, 2)


def gather_voices(parts: Iterable[Voices], directory: Path | None = None) -> Voices | None:
    """The voices of consecutive chunks as those of the whole, in half precision; ``None`` where there are no parts.

    Parts are taken one at a time and not kept: embeddings of ten hours take 15 MB and more, so they go to temporary
    files (``StoredRows``), in ``directory`` or else where the system has such files.

    Raises:
        StorageFull: there is no room for those files.
    """
    whole, close, spans = _Gathered(directory), _Gathered(directory), [np.zeros((0, 2))]
    last, engine_s, are_changes_known = None, 0.0, False
    for part in parts:
        whole.append(part.windows, part.embeddings)
        if part.changes is not None:
            close.append(part.changes.windows, part.changes.embeddings)
            spans.append(part.changes.spans)
            are_changes_known = True
        last, engine_s = part, engine_s + part.engine_s
    if last is None:
        return None
    changes = Changes(np.concatenate(spans), close.windows, close.rows) if are_changes_known else None
    return Voices(last.engine, last.model, whole.windows, whole.rows, engine_s, changes)


def dump_voices(voices: Voices) -> bytes:
    archive = io.BytesIO()
    changes: dict[str, Any] = {}
    if voices.changes is not None:
        changes = {
            "change_spans": voices.changes.spans,
            "change_windows": voices.changes.windows,
            "change_embeddings": voices.changes.embeddings[:].astype(np.float16),
        }
    np.savez_compressed(
        archive,
        version=np.array(_SCHEMA_VERSION),
        engine=np.array([voices.engine, voices.model]),
        windows=voices.windows,
        embeddings=voices.embeddings[:].astype(np.float16),
        engine_s=np.array(voices.engine_s),
        **changes,
    )
    return archive.getvalue()


def load_voices(content: bytes) -> Voices:
    """Raises DocumentDamaged: these are no stored voices, or a newer Erni wrote them."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            check_version(archive, _SCHEMA_VERSION)
            engine, model = (str(name) for name in archive["engine"])
            return Voices(
                engine,
                model,
                archive["windows"].astype(np.float64),
                archive["embeddings"],
                float(archive["engine_s"]),
                _load_changes(archive),
            )
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DocumentDamaged("The stored voices are damaged.") from error


def _load_changes(archive: Mapping[str, npt.NDArray[Any]]) -> Changes | None:
    """None are where the engine looked for none, nor in what an earlier Erni left."""
    if "change_spans" not in archive:
        return None
    return Changes(
        archive["change_spans"].astype(np.float64),
        archive["change_windows"].astype(np.float64),
        archive["change_embeddings"],
    )


def unit_rows(rows: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """The rows at unit length, so that their dot products are cosines; one without length stays so."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def unit_blocks(embeddings: Rows) -> Iterator[Embeddings]:
    """All rows, at unit length, a block at a time: rows in a file are never all in memory."""
    for first in range(0, len(embeddings), _ROWS_AT_A_TIME):
        yield unit_rows(embeddings[first : first + _ROWS_AT_A_TIME].astype(np.float32))


def mean_voices(
    embeddings: Rows, numbers: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The mean, and the count, of the rows, at unit length, with each of the ``numbers`` 0 to ``count`` - 1; others are
    passed over.
    """
    sums = np.zeros((count, embeddings.shape[1]), np.float32)
    first = 0
    for rows in unit_blocks(embeddings):
        some = numbers[first : first + len(rows)]
        np.add.at(sums, some[some >= 0], rows[some >= 0])
        first += len(rows)
    counts = np.bincount(numbers[numbers >= 0], minlength=count)
    return np.asarray(sums / np.maximum(counts, 1)[:, np.newaxis], np.float32), counts


def check_version(archive: Mapping[str, npt.NDArray[Any]], newest: int) -> None:
    """Raises DocumentDamaged: a newer Erni than this one, which reads versions up to ``newest``, wrote the voices."""
    version = int(archive["version"])
    if version > newest:
        raise DocumentDamaged(
            f"The stored voices have schema version {version}; this Erni reads up to {newest}. "
            "Upgrade every host to the Erni that wrote them."
        )
