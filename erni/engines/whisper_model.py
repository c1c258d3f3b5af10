"""faster-whisper's model, made to waste less. Import it late: it costs half a second and 100 MB."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

Features = npt.NDArray[np.float32]
"""Log-mel features [bands, frames], 100 frames a second."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8
"""All from glibc's ``malloc.h``."""
_KEPT_BYTES: Final = 1 << 30


class RememberingModel(WhisperModel):  # type: ignore[misc]  # faster_whisper is untyped
    """Encodes a window once, although finding its language and transcribing it both ask for that."""

    _last: tuple[Features, ctranslate2.StorageView] | None = None

    def encode(self, features: Features) -> ctranslate2.StorageView:
        if self._last is None or not np.array_equal(self._last[0], features):
            self._last = features, super().encode(features)
        return self._last[1]


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, for its next allocation; without glibc nothing changes.

    Attention over 30 s needs blocks of 50 MB and more. glibc asks the kernel for each of them and gives it back, and
    the kernel clears every page anew: a third of the encoder's time with tiny.en, 50,000 page faults a window.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        # What one thread freed serves the next: 20 MB less, and no heap of a thread that is given back whole.
        mallopt(_M_ARENA_MAX, 1)
