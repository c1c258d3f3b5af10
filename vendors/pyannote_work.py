"""What pyannote.ai makes of a recording, by the local engines: its outputs, field by field."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from erni.errors import DocumentDamaged
from erni.identifying import score_voices, speaker_centroids
from erni.model import Diarization, Turn
from erni.speaker_voices import SpeakerVoices, dump_speaker_voices, load_speaker_voices, sole_voice
from vendors.listening import Listening
from vendors.remote_jobs import JobFailed

MAX_VOICEPRINT_AUDIO_S: Final = 30.0
HIGHEST_SCORE: Final = 100

Asked = Mapping[str, Any]
Output = dict[str, object]


def diarize(listening: Listening, path: Path, asked: Asked) -> Output:
    return _describe(_hear(listening, path, asked).turns, asked)


def _describe(turns: Sequence[Turn], asked: Asked) -> Output:
    output: Output = {"diarization": [_row(turn) for turn in turns]}
    if asked.get("exclusive"):
        output["exclusiveDiarization"] = [_row(turn) for turn in _without_overlaps(turns)]
    return output


def identify(listening: Listening, path: Path, asked: Asked) -> Output:
    """A diarization, and how like each voiceprint each of its speakers sounds, from 0 to 100."""
    turns = _hear(listening, path, asked).turns
    prints = {row["label"]: _read_voiceprint(row["voiceprint"]) for row in asked["voiceprints"]}
    scores: dict[str, dict[str, int]] = {speaker: {} for speaker in sorted({turn.speaker for turn in turns})}
    for found in score_voices(speaker_centroids(listening.embed(path), turns), prints):
        scores[found.speaker][found.voice] = round(HIGHEST_SCORE * found.score)
    matches = _match(scores, asked.get("matching") or {})
    output = _describe(turns, asked)
    output["voiceprints"] = [
        {"speaker": speaker, "match": matches.get(speaker), "confidence": of_speaker}
        for speaker, of_speaker in scores.items()
    ]
    output["identification"] = [
        {
            **_row(turn),
            "speaker": matches.get(turn.speaker) or turn.speaker,
            "diarizationSpeaker": turn.speaker,
            "match": matches.get(turn.speaker),
        }
        for turn in turns
    ]
    return output


def make_voiceprint(listening: Listening, path: Path, asked: Asked) -> Output:
    del asked
    if listening.duration_s(path) > MAX_VOICEPRINT_AUDIO_S:
        raise JobFailed("Audio is longer than 30 seconds")
    voices = listening.embed(path)
    if not len(voices.windows):
        raise JobFailed("No speech was found")
    return {"voiceprint": base64.b64encode(dump_speaker_voices(sole_voice(voices))).decode()}


def _hear(listening: Listening, path: Path, asked: Asked) -> Diarization:
    """An exact count, else a free one that is held to the bounds."""
    exact, least, most = (asked.get(name) for name in ("numSpeakers", "minSpeakers", "maxSpeakers"))
    heard = listening.diarize(path, exact)
    count = len({turn.speaker for turn in heard.turns})
    bounded = min(max(count, least or 1), most or max(count, 1))
    return heard if exact or not count or bounded == count else listening.diarize(path, bounded)


def _row(turn: Turn) -> Output:
    return {"speaker": turn.speaker, "start": turn.start_s, "end": turn.end_s}


def _without_overlaps(turns: Sequence[Turn]) -> list[Turn]:
    """Each begins when the one before it is over."""
    kept: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        start_s = max(turn.start_s, kept[-1].end_s) if kept else turn.start_s
        if start_s < turn.end_s:
            kept.append(Turn(start_s, turn.end_s, turn.speaker))
    return kept


def _read_voiceprint(text: str) -> SpeakerVoices:
    try:
        return load_speaker_voices(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DocumentDamaged) as error:
        raise JobFailed("Invalid voiceprint") from error


def _match(scores: Mapping[str, Mapping[str, int]], matching: Mapping[str, Any]) -> dict[str, str]:
    """The likeliest pairs first; with ``exclusive`` a voiceprint is one speaker's only."""
    pairs = sorted(
        ((score, speaker, label) for speaker, row in scores.items() for label, score in row.items()), reverse=True
    )
    matches: dict[str, str] = {}
    for score, speaker, label in pairs:
        is_taken = matching.get("exclusive", True) and label in matches.values()
        if speaker not in matches and not is_taken and score >= matching.get("threshold", 0):
            matches[speaker] = label
    return matches
