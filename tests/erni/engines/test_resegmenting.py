"""Who speaks when around changes, by made-up voices whose turns are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erni.engines.clustering import cluster_speakers
from erni.engines.resegmenting import resegment
from erni.model import Span
from erni.spans import unite_spans
from erni.voices import Changes, gather_voices
from tests.erni.engines.made_up_voices import NO_CHANGES, changes_at, hear, plain_turns, resegmented

CONVERSATION = [(0.0, 4.37, 0), (4.37, 9.81, 1), (9.81, 13.4, 0), (13.4, 16.16, 1), (16.16, 21.95, 0), (21.95, 27.0, 1)]


def test_changes_are_found_more_closely_than_by_windows_alone() -> None:
    expected = [start_s for start_s, _, _ in CONVERSATION[1:]]
    voices = hear(CONVERSATION)
    plain, close = changes_at(plain_turns(voices)), changes_at(resegmented(voices))
    assert len(plain) == len(close) == len(expected)
    plain_off_s, off_s = (np.abs(np.subtract(found, expected)) for found in (plain, close))
    assert off_s.max() < 0.15
    assert off_s.mean() < plain_off_s.mean() / 2


@pytest.mark.parametrize("answer", [(6.0, 6.7), (13.0, 14.0)])
def test_a_short_answer_in_anothers_speech_is_found(answer: tuple[float, float]) -> None:
    """At the end of a stretch, and inside one."""
    turns = [(0.0, 6.0, 0), (6.0, 6.7, 1), (9.0, 13.0, 0), (13.0, 14.0, 1), (14.0, 19.0, 0), (22.0, 30.0, 1)]
    found = [turn for turn in resegmented(hear(turns)) if turn.start_s < sum(answer) / 2 < turn.end_s]
    other = next(turn for turn in resegmented(hear(turns)) if turn.start_s < 28.0 < turn.end_s)
    assert [turn.speaker for turn in found] == [other.speaker]
    assert (found[0].start_s, found[0].end_s) == pytest.approx(answer, abs=0.2)


def mixed_labels(windows: np.ndarray) -> np.ndarray:
    """As a clustering that took windows across the changes at 6 and 12 s for a third voice."""
    middles = windows.mean(axis=1)
    is_mixture = (np.abs(middles - 6.0) < 0.4) | (np.abs(middles - 12.0) < 0.4)
    return np.where(is_mixture, 2, np.where((middles > 6.0) & (middles < 12.0), 1, 0))


def test_a_voice_heard_only_where_voices_change_is_no_speaker() -> None:
    voices = hear([(0.0, 6.0, 0), (6.0, 12.0, 1), (12.0, 18.0, 0)])
    labels = mixed_labels(voices.windows)
    assert set(labels) == {0, 1, 2}
    turns = resegmented(voices, labels)
    assert [turn.speaker for turn in turns] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    assert changes_at(turns) == pytest.approx([6.0, 12.0], abs=0.15)


def test_a_voice_of_a_scrap_and_of_a_mixture_is_no_speaker() -> None:
    """A quarter of a second in a stretch of its own proves nothing, nor does a window across a change."""
    voices = hear([(0.0, 0.25, 0), (1.0, 2.0, 1), (2.0, 8.0, 0), (8.0, 14.0, 1)])
    middles = voices.windows.mean(axis=1)
    labels = np.where(middles < 2.0, 2, np.where(middles < 8.0, 0, 1))
    turns = resegmented(voices, labels)
    assert {turn.speaker for turn in turns} == {"SPEAKER_00", "SPEAKER_01"}
    assert [turn.speaker[-1] for turn in turns if turn.start_s > 0.9] == ["1", "0", "1"]


def test_speakers_that_are_nowhere_clear_stay() -> None:
    windows, embeddings = np.array([[0.0, 1.5], [0.6, 2.1]]), np.eye(2, 192, dtype=np.float32)
    cells, labels = resegment(windows, embeddings, np.array([0, 1]), NO_CHANGES)
    assert labels.tolist() == [0, 1]
    assert cells.tolist() == [[0.0, pytest.approx(1.05)], [pytest.approx(1.05), 2.1]]


def test_close_windows_take_the_place_of_the_others_only_where_there_are_some() -> None:
    windows = np.array([[0.0, 1.5], [5.0, 6.5], [5.6, 7.1], [9.0, 10.5]])
    embeddings = np.eye(2, 192, dtype=np.float32)
    changes = Changes(np.array([[5.9, 6.6], [9.0, 10.0]]), np.array([[5.7, 6.5]]), embeddings[1:])
    cells, labels = resegment(windows, embeddings[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), changes)
    border_s = pytest.approx((5.75 + 6.1) / 2)
    assert cells.tolist() == [[0.0, 1.5], [5.0, border_s], [border_s, 7.1], [9.0, 10.5]]
    assert labels.tolist() == [0, 0, 1, 1]


def test_as_many_speakers_as_asked_for_remain() -> None:
    voices = hear([(0.0, 6.0, 0), (6.0, 12.0, 1), (12.0, 18.0, 0)])
    labels = mixed_labels(voices.windows)
    assert len({turn.speaker for turn in resegmented(voices, labels, least=3)}) == 3


def test_a_third_voice_that_is_heard_clearly_for_a_moment_is_a_speaker() -> None:
    """All windows of 1.5 s that have it lie at its changes; close windows prove it."""
    voices = hear([(0.0, 6.0, 0), (6.0, 7.3, 2), (7.3, 13.0, 0), (15.0, 21.0, 1)])
    middles = voices.windows.mean(axis=1)
    labels = np.where(middles > 15.0, 1, np.where(np.abs(middles - 6.65) < 0.5, 2, 0))
    turns = resegmented(voices, labels)
    assert len({turn.speaker for turn in turns}) == 3
    [third] = [turn for turn in turns if turn.start_s < 6.65 < turn.end_s]
    assert (third.start_s, third.end_s) == pytest.approx((6.0, 7.3), abs=0.2)


def test_one_voice_stays_as_it_is() -> None:
    voices = hear([(0.0, 9.0, 0), (9.5, 12.0, 0)])
    labels = np.zeros(len(voices.windows), np.int64)
    windows, kept = resegment(voices.windows, voices.embeddings, labels, NO_CHANGES)
    assert windows is voices.windows
    assert kept is labels
    nothing = hear([(0.0, 0.0, 0)])
    assert len(resegment(nothing.windows, nothing.embeddings, np.zeros(0, np.int64), NO_CHANGES)[0]) == 0


def test_voices_in_a_file_are_told_apart_as_those_in_memory(tmp_path: Path) -> None:
    voices = hear(CONVERSATION)
    stored = gather_voices([voices], tmp_path)
    assert stored is not None
    halved = replace(voices, embeddings=voices.embeddings[:].astype(np.float16))
    assert changes_at(resegmented(stored)) == pytest.approx(changes_at(resegmented(halved)), abs=0.01)


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[float, float, int]]:
    turns, at_s = [], 0.0
    for voice in draw(st.lists(st.integers(0, 2), min_size=1, max_size=8)):
        at_s += draw(st.sampled_from([0.0, 0.0, 0.1, 0.7, 3.0]))
        length_s = draw(st.floats(0.05, 5.0))
        turns.append((at_s, at_s + length_s, voice))
        at_s += length_s
    return turns


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_every_moment_of_speech_has_one_speaker(turns: list[tuple[float, float, int]]) -> None:
    voices = hear(turns)
    assert voices.changes is not None
    cells, labels = resegment(voices.windows, voices.embeddings, cluster_speakers(voices.embeddings), voices.changes)
    assert len(cells) == len(labels)
    assert (cells[1:, 0] >= cells[:-1, 1] - 1e-6).all() or cells is voices.windows
    assert (cells[:, 0] <= cells[:, 1] + 1e-9).all()
    speech, covered = (
        unite_spans(Span(start_s - 1e-4, end_s + 1e-4) for start_s, end_s in spans.tolist())
        for spans in (voices.windows, cells)
    )
    assert [span.start_s for span in covered] == pytest.approx([span.start_s for span in speech], abs=1e-3)
    assert [span.end_s for span in covered] == pytest.approx([span.end_s for span in speech], abs=1e-3)
    assert labels.max(initial=0) + 1 == max(len(set(labels.tolist())), 1)
