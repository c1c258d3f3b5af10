"""Scripted engines behind HTTP: what they answer is decided by whoever runs the service, for load and chaos runs.

The service gets the audio as the body of ``POST /transcribe`` and ``POST /diarize``, with the work's key as
``Idempotency-Key``, and answers ``{"words": [{"text", "start_s", "end_s"}]}`` or
``{"turns": [{"speaker", "start_s", "end_s"}]}``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import soundfile

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities
from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.http_call import FileCall, HttpService
from erni.engines.scripted import DIARIZER, ENGINE, MODEL, TRANSCRIBER
from erni.errors import EngineAnswerInvalid
from erni.model import Diarization, Recognition, Turn, Word

NAME: Final = "The scripted engine"
LATE_S: Final = 1.0
"""How far a time may lie beyond the end of the audio: engines work in windows that are longer than it."""

MAX_TEXT_CHARS: Final = 1000


class ScriptedServiceTranscriber:
    """Transcriber over a scripted service."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._service = HttpService(NAME, url, timeout_s)

    @property
    def capabilities(self) -> TranscriberCapabilities:
        return TRANSCRIBER

    def load(self) -> None:
        """Nothing to load."""

    def transcribe(self, request: TranscriptionRequest) -> Recognition:
        """One call, and the checkpoint before it only: what was answered is paid for and is kept.

        Raises:
            EngineError: as ``HttpService.post_file``, and EngineAnswerInvalid where the words make no sense.
            JobStopped: the checkpoint said so.
        """
        request.checkpoint()
        started = time.perf_counter()
        parameters = _present({"language": request.language, "prompt": request.prompt})
        answer = self._service.post_file("/transcribe", _call(request.audio, request.key, parameters))
        words = tuple(_parse_word(row, request.duration_s) for row in _rows(answer, "words"))
        return Recognition(
            ENGINE,
            MODEL,
            request.language,
            tuple(sorted(words, key=lambda word: word.start_s)),
            engine_s=time.perf_counter() - started,
        )


class ScriptedServiceDiarizer:
    """Diarizer over a scripted service."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._service = HttpService(NAME, url, timeout_s)

    @property
    def capabilities(self) -> DiarizerCapabilities:
        return DIARIZER

    def load(self) -> None:
        """Nothing to load."""

    def diarize(self, request: DiarizationRequest) -> Diarization:
        """One call, and the checkpoint before it only.

        Raises:
            EngineError: as for transcription.
            JobStopped: the checkpoint said so.
        """
        request.checkpoint()
        started = time.perf_counter()
        counts = {
            "num_speakers": request.num_speakers,
            "min_speakers": request.min_speakers,
            "max_speakers": request.max_speakers,
        }
        answer = self._service.post_file("/diarize", _call(request.audio, request.key, _present(counts)))
        duration_s = soundfile.info(request.audio).duration
        turns = tuple(_parse_turn(row, duration_s) for row in _rows(answer, "turns"))
        return Diarization(
            ENGINE,
            MODEL,
            tuple(sorted(turns, key=lambda turn: turn.start_s)),
            engine_s=time.perf_counter() - started,
        )


def _call(audio: Path, key: str, parameters: Mapping[str, str]) -> FileCall:
    return FileCall(audio, "application/octet-stream", {"Idempotency-Key": key} if key else {}, parameters)


def _present(parameters: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _rows(answer: object, name: str) -> Sequence[object]:
    rows = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise EngineAnswerInvalid(f"{NAME}'s answer has no list of {name}.")
    return rows


def _parse_word(row: object, duration_s: float) -> Word:
    start_s, end_s = _parse_span(row, duration_s)
    return Word(_parse_text(row, "text"), start_s, end_s)


def _parse_turn(row: object, duration_s: float) -> Turn:
    start_s, end_s = _parse_span(row, duration_s)
    if not start_s < min(end_s, duration_s):
        raise EngineAnswerInvalid(f"{NAME} answered with a turn that takes no time.")
    return Turn(start_s, min(end_s, duration_s), _parse_text(row, "speaker"))


def _parse_text(row: object, name: str) -> str:
    text = row.get(name) if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT_CHARS or not _is_encodable(text):
        raise EngineAnswerInvalid(f"{NAME} answered without a usable {name}.")
    return text.strip()


def _is_encodable(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse_span(row: object, duration_s: float) -> tuple[float, float]:
    start_s, end_s = (_parse_time(row, name) for name in ("start_s", "end_s"))
    if not 0 <= start_s <= end_s <= duration_s + LATE_S:
        raise EngineAnswerInvalid(f"{NAME} answered with times outside of the audio.")
    return start_s, end_s


def _parse_time(row: object, name: str) -> float:
    value = row.get(name) if isinstance(row, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EngineAnswerInvalid(f"{NAME} answered with a {name} that is no number.")
    try:
        time_s = float(value)
    except OverflowError:
        time_s = math.inf
    if not math.isfinite(time_s):
        raise EngineAnswerInvalid(f"{NAME} answered with a {name} that is no number.")
    return time_s
