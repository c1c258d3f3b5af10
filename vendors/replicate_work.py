"""What thomasmol/whisper-diarization makes of a recording, by the local engines: its output, field by field.

Source: github.com/thomasmol/cog-whisper-diarization, as of 2026-06.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from erni.model import Turn, Word
from vendors.listening import Listening
from vendors.remote_jobs import JobFailed

LONGEST_SEGMENT_S: Final = 30.0
LONGEST_GAP_S: Final = 1.0
NOBODY: Final = "UNKNOWN"
_SENTENCE_ENDS: Final = (".", "!", "?")

Row = dict[str, Any]


def transcribe_and_diarize(listening: Listening, path: Path, asked: Mapping[str, Any]) -> Row:
    recognition = listening.transcribe(path, asked.get("language"))
    turns = listening.diarize(path, asked.get("num_speakers")).turns
    if not turns:
        raise JobFailed("No speakers were found in the audio")
    words = [_row(word, _speaker_of(word, turns)) for word in recognition.words]
    return {
        "language": recognition.language or asked.get("language") or "en",
        "num_speakers": len({turn.speaker for turn in turns}),
        "segments": [_segment(group) for group in _group(words)],
    }


def check_input(asked: object) -> list[tuple[str, str]]:
    """The wrong inputs and why, empty where nothing is wrong."""
    if not isinstance(asked, dict):
        return [("input", "Invalid type. Expected: object")]
    errors = []
    if sum(bool(asked.get(name)) for name in ("file", "file_url", "file_string")) != 1:
        errors.append(("input", "Provide exactly one of file, file_url and file_string"))
    count = asked.get("num_speakers")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 50):  # noqa: PLR2004  its bounds
        errors.append(("input.num_speakers", "Must be between 1 and 50"))
    if asked.get("language") == "auto":
        errors.append(("input.language", "'auto' is not a language code"))
    return errors


def _speaker_of(word: Word, turns: Sequence[Turn]) -> str:
    """Who speaks for most of the word."""
    shared = [(min(turn.end_s, word.end_s) - max(turn.start_s, word.start_s), turn.speaker) for turn in turns]
    overlap_s, speaker = max(shared)
    return speaker if overlap_s >= 0 else NOBODY


def _row(word: Word, speaker: str) -> Row:
    return {
        "start": word.start_s,
        "end": word.end_s,
        "word": f" {word.text}",
        "probability": word.confidence,
        "speaker": speaker,
    }


def _group(words: Sequence[Row]) -> list[list[Row]]:
    groups: list[list[Row]] = []
    for word in words:
        if groups and _goes_on(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _goes_on(group: Sequence[Row], word: Row) -> bool:
    last = group[-1]
    return (
        word["speaker"] == last["speaker"]
        and word["start"] - last["end"] <= LONGEST_GAP_S
        and last["end"] - group[0]["start"] < LONGEST_SEGMENT_S
        and not last["word"].endswith(_SENTENCE_ENDS)
    )


def _segment(group: Sequence[Row]) -> Row:
    start_s, end_s = group[0]["start"], group[-1]["end"]
    return {
        "start": start_s,
        "end": end_s,
        "duration": end_s - start_s,
        "speaker": group[0]["speaker"],
        "avg_logprob": -0.25,
        "text": "".join(word["word"] for word in group).strip(),
        "words": list(group),
    }
