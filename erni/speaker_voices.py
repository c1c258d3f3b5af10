"""How each speaker of a recording sounds, and the stored form of it, in which a known voice is kept as well. Knows no
model and no store.

Stored as NumPy's own archive (``numpy.savez_compressed``), without pickles, in half precision.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from erni.errors import DocumentDamaged
from erni.voices import Voices, check_version, unit_rows

Vector = npt.NDArray[np.float32]

SOLE_SPEAKER: Final = "speaker"
"""The label of the one whose voice is enrolled."""
_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """The mean of ``windows`` embeddings, each at unit length. Of windows that differ much it is short."""

    mean: Vector
    windows: int


@dataclass(frozen=True, slots=True)
class SpeakerVoices:
    """Voices by the label of their speaker; only those of one engine and model can be compared."""

    engine: str
    model: str
    by_speaker: Mapping[str, Voice]

    @property
    def form(self) -> str:
        """Under what name a voice heard by this model is enrolled: another model would not know it."""
        return voice_form(self.engine, self.model)


def voice_form(engine: str, model: str) -> str:
    return f"{engine}/{model}"


def sole_voice(voices: Voices) -> SpeakerVoices:
    """All of ``voices``, which must be some, as those of one speaker."""
    mean = np.asarray(unit_rows(np.asarray(voices.embeddings[:], np.float32)).mean(axis=0), np.float32)
    return SpeakerVoices(voices.engine, voices.model, {SOLE_SPEAKER: Voice(mean, len(voices.windows))})


def dump_speaker_voices(voices: SpeakerVoices) -> bytes:
    archive = io.BytesIO()
    heard = list(voices.by_speaker.values())
    np.savez_compressed(
        archive,
        version=np.array(_SCHEMA_VERSION),
        engine=np.array([voices.engine, voices.model]),
        speakers=np.array(list(voices.by_speaker), np.str_),
        means=np.array([voice.mean for voice in heard], np.float16),
        windows=np.array([voice.windows for voice in heard], np.int64),
    )
    return archive.getvalue()


def load_speaker_voices(content: bytes) -> SpeakerVoices:
    """Raises DocumentDamaged: these are no stored voices of speakers, or a newer Erni wrote them."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            check_version(archive, _SCHEMA_VERSION)
            engine, model = (str(name) for name in archive["engine"])
            means = archive["means"].astype(np.float32)
            heard = zip(archive["speakers"], means, archive["windows"], strict=True)
            by_speaker = {str(speaker): Voice(mean, int(windows)) for speaker, mean, windows in heard}
            return SpeakerVoices(engine, model, by_speaker)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DocumentDamaged("The stored voices of speakers are damaged.") from error
