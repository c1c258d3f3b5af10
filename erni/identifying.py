"""Whose voice a speaker has: compares the speakers of a recording with known voices. Decides only; reads and writes
nothing.

Two voices are compared by the cosine of the means of their windows' embeddings, corrected for attenuation (Spearman,
1904): the mean of few windows is blurred, which lowers its cosine to its own speaker's other recordings and, compared
to a mean of many, to everyone's. Divided by how alike the windows of each voice are among themselves, a likeness means
the same whether three seconds or an hour were heard. Measured with CAM++ over clean, telephone and reverberant sound
and 3 to 40 windows: equal error rate 2.7 %, of the plain cosine 5.6 %.

Naming is open-set: a speaker who sounds like nobody enrolled, or like two of them, has no name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from erni.model import Diarization, Span, SpeakerName, Turn, VoiceScore
from erni.speaker_voices import SpeakerVoices, Voice
from erni.timeline import Timeline
from erni.voices import Voices, mean_voices

Labels = npt.NDArray[np.int64]

SHARES: Final = (0.8, 0.5)
"""A window is a speaker's if he has at least this share of it to himself; the second holds for who has none else."""
WITHIN_COSINE: Final = 0.62
"""Mean cosine between two windows of one voice (CAM++ on clean and on telephone sound: 0.56-0.74), ..."""
WITHIN_WEIGHT: Final = 6
"""... which counts as so many windows beside those that were heard."""
LIKENESS_CENTRE: Final = 0.717
"""At this likeness, a score of 0.5, two voices are as probably one speaker's as two speakers' (logistic regression)."""
LIKENESS_SLOPE: Final = 12.0
"""How steep the score rises there: a quarter of what the odds do, so that it still tells apart the surest of voices."""
SEVERAL_BELOW: Final = 0.7
"""Halves of a recording less alike than this are two people's. Of 600 made of one voice 4 were taken for two, of 1,440
of two voices 8 % for one (telephone 17 %).
"""


def speaker_centroids(voices: Voices, turns: Sequence[Turn]) -> SpeakerVoices:
    """The mean voice of each speaker of ``turns``, out of the windows in which he alone talks.

    Who has not even half of a window to himself is left out.
    """
    timeline = Timeline(turns)
    found = [_owner(timeline, start_s, end_s) for start_s, end_s in voices.windows.tolist()]
    owners, shares = [owner for owner, _ in found], np.array([share for _, share in found])
    labels = sorted(filter(None, set(owners)))
    numbers = np.array([labels.index(owner) if owner else -1 for owner in owners], np.int64)
    chosen = np.zeros(len(found), np.bool_)
    for number in range(len(labels)):
        is_own = numbers == number
        least = next((share for share in SHARES if (shares[is_own] >= share).any()), math.inf)
        chosen |= is_own & (shares >= least)
    means, counts = mean_voices(voices.embeddings, np.where(chosen, numbers, -1), len(labels))
    by_speaker = {label: Voice(means[n], int(counts[n])) for n, label in enumerate(labels) if counts[n]}
    return SpeakerVoices(voices.engine, voices.model, by_speaker)


def score_voices(speakers: SpeakerVoices, prints: Mapping[str, SpeakerVoices]) -> tuple[VoiceScore, ...]:
    """How like each known voice each speaker sounds. ``prints`` are known voices by id; those heard by another model
    are passed over.
    """
    return tuple(
        VoiceScore(speaker, voice_id, round(_score(likeness(voice, known)), 4))
        for speaker, voice in speakers.by_speaker.items()
        for voice_id, voiceprint in prints.items()
        if voiceprint.form == speakers.form
        for known in voiceprint.by_speaker.values()
    )


def likeness(first: Voice, second: Voice) -> float:
    """About 1 for recordings of one speaker, whatever their lengths; of two speakers 0.55, from one telephone 0.65."""
    cosine = float(first.mean @ second.mean) / math.sqrt(_within_cosine(first) * _within_cosine(second))
    return max(-1.0, min(1.0, cosine))


def sound_like_several(halves: SpeakerVoices) -> bool:
    """Whether the windows of a recording, clustered into two, are rather two people's than one's."""
    heard = sorted(halves.by_speaker.values(), key=lambda voice: voice.windows)[-2:]
    return len(heard) > 1 and likeness(*heard) < SEVERAL_BELOW


def decide_names(
    scores: Sequence[VoiceScore], names: Mapping[str, str], threshold: float, margin: float
) -> tuple[SpeakerName, ...]:
    """Who each scored speaker is, in the order of ``scores``; ``names`` are those of the known voices by id.

    A speaker gets the name he is likeliest to have, if its score is at least ``threshold`` and at least ``margin``
    above that of any other name; voices under one name do not compete, since they may be one person's. A voice is one
    speaker's: of several who claim it the likest has it, and the others stay unknown.
    """
    by_speaker: dict[str, dict[str, float]] = {}
    for score in scores:
        by_speaker.setdefault(score.speaker, {})[score.voice] = score.score
    claims: list[tuple[float, str, str]] = []
    unknown: dict[str, SpeakerName] = {}
    for speaker, found in by_speaker.items():
        name, best, distance = _likeliest_name(found, names)
        unknown[speaker] = SpeakerName(speaker, None, None, best, distance)
        if distance is None or distance >= margin:
            claims += [(claimed, speaker, voice) for voice, claimed in found.items() if names[voice] == name]
    given: dict[str, tuple[str, float]] = {}
    taken: set[str] = set()
    for claimed, speaker, voice in sorted(claims, reverse=True):
        if claimed >= threshold and speaker not in given and voice not in taken:
            given[speaker] = voice, claimed
            taken.add(voice)
    return tuple(
        SpeakerName(speaker, names[given[speaker][0]], *given[speaker], nobody.margin) if speaker in given else nobody
        for speaker, nobody in unknown.items()
    )


def merge_scores(diarizations: Sequence[Diarization]) -> tuple[VoiceScore, ...]:
    """The scores of several diarizations of one recording, each of which was given other known voices, for the
    speakers of the first one. Whom it does not have is left out.
    """
    merged: dict[tuple[str, str], float] = {}
    for diarization in diarizations:
        speakers = match_speakers(diarization.turns, diarizations[0].turns)
        for score in diarization.scores:
            if score.speaker in speakers:
                pair = speakers[score.speaker], score.voice
                merged[pair] = max(score.score, merged.get(pair, 0.0))
    return tuple(VoiceScore(speaker, voice, score) for (speaker, voice), score in merged.items())


def match_speakers(turns: Iterable[Turn], reference: Sequence[Turn]) -> dict[str, str]:
    """Which speaker of ``reference`` each speaker of ``turns`` is: pairs that share most time first, each at most
    once.
    """
    timeline = Timeline(reference)
    shared_s: defaultdict[tuple[str, str], float] = defaultdict(float)
    for turn in turns:
        for other, seconds in timeline.overlaps(turn.start_s, turn.end_s).items():
            shared_s[turn.speaker, other] += seconds
    matched: dict[str, str] = {}
    for speaker, other in sorted(shared_s, key=lambda pair: (-shared_s[pair], pair)):
        if speaker not in matched and other not in matched.values():
            matched[speaker] = other
    return matched


def sole_spans(turns: Iterable[Turn], speaker: str, most_s: float) -> tuple[Span, ...]:
    """When the speaker talks and nobody else does: the longest stretches, up to about ``most_s``, in order of time."""
    timeline = Timeline(list(turns))
    alone = [
        Span(start_s, end_s)
        for start_s, end_s, talking in zip(timeline.starts, timeline.ends, timeline.talking, strict=True)
        if talking == (speaker,)
    ]
    kept: list[Span] = []
    for span in sorted(alone, key=lambda one: (-one.duration_s, one.start_s)):
        if sum(one.duration_s for one in kept) >= most_s:
            break
        kept.append(span)
    return tuple(sorted(kept, key=lambda one: one.start_s))


def _owner(timeline: Timeline, start_s: float, end_s: float) -> tuple[str | None, float]:
    """Who talks most in a window, and the share of it he has more than all others together."""
    seconds = timeline.overlaps(start_s, end_s)
    if not seconds:
        return None, 0.0
    owner = max(seconds, key=lambda label: seconds[label])
    return owner, (2 * seconds[owner] - sum(seconds.values())) / (end_s - start_s)


def _within_cosine(voice: Voice) -> float:
    """How alike two windows of a voice are, as far as so many tell."""
    count = voice.windows
    pairs = (float(voice.mean @ voice.mean) * count - 1) / (count - 1) if count > 1 else WITHIN_COSINE
    return max(0.1, (pairs * count + WITHIN_COSINE * WITHIN_WEIGHT) / (count + WITHIN_WEIGHT))


def _score(like: float) -> float:
    return 1 / (1 + math.exp(-LIKENESS_SLOPE * (like - LIKENESS_CENTRE)))


def _likeliest_name(found: Mapping[str, float], names: Mapping[str, str]) -> tuple[str, float, float | None]:
    """The name with the best score, that score, and its distance to the next name's, if there is one."""
    best: dict[str, float] = {}
    for voice, score in found.items():
        best[names[voice]] = max(score, best.get(names[voice], 0.0))
    ranked = sorted(best.items(), key=lambda item: -item[1])
    (name, score), following = ranked[0], ranked[1:]
    return name, score, round(score - following[0][1], 4) if following else None
