"""What the loopback OpenAI answers with, in each of its formats, and how servers that speak its protocol deviate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

from erni.model import Diarization, Recognition, Word

Kind = Literal["openai", "speaches", "whisper.cpp", "localai", "vllm"]

AUDIO_TOKENS_PER_S: Final = 10
TEXT_TOKENS_PER_WORD: Final = 1.3
SEGMENT_WORDS: Final = 12
_PUNCTUATION: Final = ".,;:!?\"'“”…()[]"
_NAMES: Final = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pl": "polish"}


@dataclass(frozen=True, slots=True)
class Heard:
    """All there is to answer with."""

    recognition: Recognition
    duration_s: float
    diarization: Diarization | None = None
    prompt: str = ""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.recognition.words)


def render_json(heard: Heard, kind: Kind, *, usage: str, languages: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"text": heard.text}
    if kind in {"openai", "vllm"}:
        answer["usage"] = render_usage(heard, usage)
    if languages:
        code = heard.recognition.language
        answer["languages"] = [{"code": code}] if code else []
    return answer


def render_usage(heard: Heard, usage: str) -> dict[str, Any]:
    if usage == "duration":
        return {"type": "duration", "seconds": math.ceil(heard.duration_s)}
    audio, text = round(heard.duration_s * AUDIO_TOKENS_PER_S), len(heard.prompt.split())
    output = round(len(heard.recognition.words) * TEXT_TOKENS_PER_WORD)
    return {
        "type": "tokens",
        "input_tokens": audio + text,
        "input_token_details": {"text_tokens": text, "audio_tokens": audio},
        "output_tokens": output,
        "total_tokens": audio + text + output,
    }


def render_verbose(heard: Heard, kind: Kind, granularities: Sequence[str]) -> dict[str, Any]:
    """``verbose_json``, with words where they were asked for (by default only segments are) and the server has any."""
    code = heard.recognition.language or "en"
    segments = list(_segments(heard.recognition.words, kind))
    answer: dict[str, Any] = {
        "task": "transcribe",
        "language": _NAMES.get(code, code) if kind in {"openai", "whisper.cpp"} else code,
        "duration": str(heard.duration_s) if kind == "vllm" else heard.duration_s,
        "text": heard.text,
    }
    if "word" in granularities and kind not in {"vllm", "whisper.cpp"}:
        answer["words"] = [_word(word, kind) for word in heard.recognition.words]
    if granularities != ["word"]:
        answer["segments"] = segments
    if kind == "openai":
        answer["usage"] = render_usage(heard, "duration")
    return answer


def render_diarized(heard: Heard) -> dict[str, Any]:
    """``diarized_json``: speakers ``A``, ``B`` in order of appearance, anew in every request."""
    labels: dict[str, str] = {}
    segments, lines = [], []
    for number, group in enumerate(_by_speaker(heard)):
        speaker = labels.setdefault(_speaker(group[0], heard), chr(ord("A") + len(labels)))
        text = " ".join(word.text for word in group)
        lines.append(f"{speaker}: {text}")
        segments.append(
            {
                "type": "transcript.text.segment",
                "id": f"seg_{number + 1:03d}",
                "start": group[0].start_s,
                "end": group[-1].end_s,
                "text": text,
                "speaker": speaker,
            }
        )
    return {
        "task": "transcribe",
        "duration": heard.duration_s,
        "text": "\n".join(lines),
        "segments": segments,
        "usage": render_usage(heard, "duration"),
    }


def render_subtitles(heard: Heard, style: str) -> str:
    """``srt`` or ``vtt``."""
    mark, lines = ("," if style == "srt" else "."), ([] if style == "srt" else ["WEBVTT", ""])
    for number, group in enumerate(_groups(heard.recognition.words)):
        if style == "srt":
            lines.append(str(number + 1))
        span = f"{_clock(group[0].start_s, mark)} --> {_clock(group[-1].end_s, mark)}"
        lines += [span, " ".join(word.text for word in group), ""]
    return "\n".join(lines)


def _segments(words: Sequence[Word], kind: Kind) -> Iterator[Mapping[str, Any]]:
    for number, group in enumerate(_groups(words)):
        segment: dict[str, Any] = {
            "id": number,
            "start": group[0].start_s,
            "end": group[-1].end_s,
            "text": " " + " ".join(word.text for word in group),
        }
        if kind == "whisper.cpp":
            segment["words"] = [token for word in group for token in _tokens(word)]
        elif kind != "localai":
            segment |= {"seek": 0, "tokens": [50364], "temperature": 0.0, "avg_logprob": -0.29}
            segment |= {"compression_ratio": 1.2, "no_speech_prob": None if kind == "vllm" else 0.01}
        yield segment


def _word(word: Word, kind: Kind) -> dict[str, Any]:
    times = {"start": word.start_s, "end": word.end_s}
    if kind == "localai":
        return {"text": word.text, **times}
    if kind == "speaches":
        return {"word": f" {word.text}", **times, "probability": word.confidence}
    return {"word": word.text.strip(_PUNCTUATION), **times}


def _tokens(word: Word) -> Iterator[dict[str, Any]]:
    """whisper.cpp's words are pieces of words: here each in two, the first one with the space before it."""
    half = len(word.text) // 2 or 1
    middle_s = (word.start_s + word.end_s) / 2
    pieces = [(f" {word.text[:half]}", word.start_s, middle_s), (word.text[half:], middle_s, word.end_s)]
    for text, start_s, end_s in pieces:
        if text.strip():
            yield {"word": text, "start": start_s, "end": end_s, "t_dtw": -1, "probability": word.confidence or 0.5}


def _groups(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words by sentence, at most a dozen."""
    group: list[Word] = []
    for word in words:
        group.append(word)
        if word.text.endswith((".", "?", "!")) or len(group) == SEGMENT_WORDS:
            yield group
            group = []
    if group:
        yield group


def _by_speaker(heard: Heard) -> Iterator[list[Word]]:
    words = heard.recognition.words
    group = list(words[:1])
    for before, word in pairwise(words):
        if _speaker(before, heard) != _speaker(word, heard):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _speaker(word: Word, heard: Heard) -> str:
    turns = heard.diarization.turns if heard.diarization is not None else ()
    distances = [(max(turn.start_s - word.middle_s, word.middle_s - turn.end_s, 0.0), turn.speaker) for turn in turns]
    return min(distances, default=(0.0, "SPEAKER_00"))[1]


def _clock(at_s: float, mark: str) -> str:
    milliseconds = round(at_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
