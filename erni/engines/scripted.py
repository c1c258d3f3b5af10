"""Engines that do as they are told: for tests, load and chaos runs, and for callers who build against Erni.

They ship with Erni and keep the same contract as the real ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities
from erni.engine_ports import (
    AlignmentRequest,
    ClusteringRequest,
    DiarizationRequest,
    EmbeddingRequest,
    TranscriptionRequest,
)
from erni.engines.clustering import cluster_speakers
from erni.model import Diarization, Recognition, Turn, Word
from erni.turns import label_turns
from erni.voices import Voices

ENGINE: Final = "scripted"
MODEL: Final = "script"
TRANSCRIBER: Final = TranscriberCapabilities(ENGINE, MODEL, languages=None)
DIARIZER: Final = DiarizerCapabilities(ENGINE, MODEL)


@dataclass(frozen=True, slots=True)
class ScriptedTranscriber:
    """Answers each chunk with the words ``script`` returns for it, or with the error it raises."""

    script: Callable[[TranscriptionRequest], tuple[Word, ...]]
    capabilities: TranscriberCapabilities = TRANSCRIBER

    def load(self) -> None:
        """Nothing to load."""

    def transcribe(self, request: TranscriptionRequest) -> Recognition:
        started = time.perf_counter()
        request.checkpoint()
        words = self.script(request)
        engine_s = time.perf_counter() - started
        return Recognition(ENGINE, MODEL, request.language, words, engine_s=engine_s)


@dataclass(frozen=True, slots=True)
class ScriptedDiarizer:
    """Answers each recording with the turns ``script`` returns for it, or with the error it raises."""

    script: Callable[[DiarizationRequest], tuple[Turn, ...]]
    capabilities: DiarizerCapabilities = DIARIZER

    def load(self) -> None:
        """Nothing to load."""

    def diarize(self, request: DiarizationRequest) -> Diarization:
        started = time.perf_counter()
        request.checkpoint()
        turns = self.script(request)
        return Diarization(ENGINE, MODEL, turns, engine_s=time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class ScriptedChunkedDiarizer:
    """Answers each chunk with the voices ``script`` returns for it, or with the error it raises; tells them apart as
    the local diarizer does.
    """

    script: Callable[[EmbeddingRequest], Voices]
    capabilities: DiarizerCapabilities = DIARIZER

    def load(self) -> None:
        """Nothing to load."""

    def load_clustering(self) -> None:
        """Nothing to load."""

    def embed(self, request: EmbeddingRequest) -> Voices:
        request.checkpoint()
        return self.script(request)

    def cluster(self, request: ClusteringRequest) -> Diarization:
        started = time.perf_counter()
        voices = request.voices
        labels = cluster_speakers(
            voices.embeddings, exact=request.num_speakers, least=request.min_speakers, most=request.max_speakers
        )
        turns = label_turns(voices.windows, labels)
        return Diarization(ENGINE, MODEL, turns, engine_s=voices.engine_s + time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class ScriptedAligner:
    """Answers each chunk with the words ``script`` returns for it, or with the error it raises."""

    script: Callable[[AlignmentRequest], tuple[Word, ...]]
    fingerprint: str = f"{ENGINE} {MODEL}"

    def align(self, request: AlignmentRequest) -> tuple[Word, ...]:
        request.checkpoint()
        return self.script(request)
