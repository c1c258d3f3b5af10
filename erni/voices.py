"""How voices sound: embeddings of short windows of speech, as chunks leave them behind. Knows no model and no store.

Stored as NumPy's own archive (``numpy.savez_compressed``), without pickles. Embeddings are kept in half precision:
their cosines, which alone are used, differ by less than 0.001 from those in single precision.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.errors import DocumentDamaged

Embeddings = npt.NDArray[np.floating[Any]]
Windows = npt.NDArray[np.float64]

_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """``windows`` holds start and end of each window in seconds of the recording (n × 2), ``embeddings`` one vector per
    window (n × dimensions), in half precision where they were stored. ``engine_s`` is what computing them took.
    """

    engine: str
    model: str
    windows: Windows
    embeddings: Embeddings
    engine_s: float = 0.0


def gather_voices(parts: Iterable[Voices]) -> Voices | None:
    """The voices of consecutive chunks as those of the whole, in half precision; ``None`` where there are no parts.

    Parts are taken one at a time and not kept: all voices of a day are there once, never twice.
    """
    windows, embeddings = bytearray(), bytearray()
    last, engine_s = None, 0.0
    for part in parts:
        windows += part.windows.astype(np.float64).tobytes()
        embeddings += part.embeddings.astype(np.float16).tobytes()
        last, engine_s = part, engine_s + part.engine_s
    if last is None:
        return None
    return Voices(
        last.engine,
        last.model,
        np.frombuffer(windows, np.float64).reshape(-1, 2),
        np.frombuffer(embeddings, np.float16).reshape(-1, last.embeddings.shape[1]),
        engine_s,
    )


def dump_voices(voices: Voices) -> bytes:
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        version=np.array(_SCHEMA_VERSION),
        engine=np.array([voices.engine, voices.model]),
        windows=voices.windows,
        embeddings=voices.embeddings.astype(np.float16),
        engine_s=np.array(voices.engine_s),
    )
    return archive.getvalue()


def load_voices(content: bytes) -> Voices:
    """Raises DocumentDamaged: these are no stored voices, or a newer Erni wrote them."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            version = int(archive["version"])
            if version > _SCHEMA_VERSION:
                raise DocumentDamaged(
                    f"The stored voices have schema version {version}; this Erni reads up to {_SCHEMA_VERSION}. "
                    "Upgrade every host to the Erni that wrote them."
                )
            engine, model = (str(name) for name in archive["engine"])
            return Voices(
                engine,
                model,
                archive["windows"].astype(np.float64),
                archive["embeddings"],
                float(archive["engine_s"]),
            )
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DocumentDamaged("The stored voices are damaged.") from error
