"""Where the speaker is likely to change, by made-up voices."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from erni.engines.changes import are_within, find_changes, neighbour_cosines
from erni.voices import Voices, gather_voices
from tests.erni.engines.made_up_voices import hear


def is_covered(at_s: float, voices: Voices) -> bool:
    assert voices.changes is not None
    return bool(are_within(np.array([at_s]), voices.changes.spans)[0])


def test_one_voice_changes_nowhere() -> None:
    voices = hear([(0.0, 20.0, 0), (20.4, 31.0, 0)])
    assert voices.changes is not None
    assert len(voices.changes.windows) == 0


@pytest.mark.parametrize("at_s", [6.0, 6.2, 6.4])
def test_a_change_without_a_pause_is_listened_to_closely(at_s: float) -> None:
    voices = hear([(0.0, at_s, 0), (at_s, 14.0, 1)])
    assert is_covered(at_s, voices)
    assert voices.changes is not None
    middles = voices.changes.windows.mean(axis=1)
    assert middles.min() > at_s - 2.0
    assert middles.max() < at_s + 2.0


@pytest.mark.parametrize(("pause_s", "expected"), [(0.3, True), (0.9, True), (1.1, False)])
def test_a_change_in_a_pause_is_listened_to_only_if_the_pause_is_short(pause_s: float, expected: bool) -> None:
    voices = hear([(0.0, 6.0, 0), (6.0 + pause_s, 14.0, 1)])
    assert is_covered(5.9, voices) is expected


@pytest.mark.parametrize("turns", [[(0.0, 6.0, 0), (6.0, 6.7, 1)], [(0.0, 0.7, 1), (0.7, 6.7, 0)]])
def test_a_word_or_two_at_the_edge_of_a_stretch_are_listened_to(turns: list[tuple[float, float, int]]) -> None:
    """Each of the windows there has more of the other voice, so that neighbours sound alike."""
    voices = hear(turns)
    assert is_covered(sum(turns[0][:2]) / 2 if turns[0][2] else 6.35, voices)


def test_windows_lie_in_the_speech_and_close_ones_have_their_middles_in_changes() -> None:
    voices = hear([(1.0, 4.0, 0), (4.0, 4.4, 1), (4.6, 5.0, 0), (5.3, 9.0, 1), (9.0, 9.5, 0)])
    assert voices.changes is not None
    for windows in (voices.windows, voices.changes.windows):
        assert are_within(windows.ravel(), np.array([[1.0, 4.4], [4.6, 5.0], [5.3, 9.5]])).all()
    assert are_within(voices.changes.windows.mean(axis=1), voices.changes.spans).all()
    assert (voices.changes.windows[:, 0] < voices.changes.windows[:, 1]).all()
    assert all(earlier[0] < later[0] for earlier, later in pairwise(voices.changes.windows.tolist()))
    assert all(earlier[1] < later[0] for earlier, later in pairwise(voices.changes.spans.tolist()))


def test_neighbours_are_compared_across_blocks_of_rows() -> None:
    rows = np.random.default_rng(0).standard_normal((1_100, 192)).astype(np.float32)
    stored = gather_voices([Voices("made up", "mixing", np.zeros((len(rows), 2)), rows)])
    assert stored is not None
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = (rows[1:] * rows[:-1]).sum(axis=1)
    np.testing.assert_allclose(neighbour_cosines(stored.embeddings), expected, atol=1e-3)


def test_nothing_changes_in_nothing_or_in_a_single_window() -> None:
    assert find_changes(np.zeros((0, 2)), np.zeros((0, 192), np.float32)) == []
    assert find_changes(np.array([[0.0, 1.5]]), np.ones((1, 192), np.float32)) == []


def test_moments_at_the_borders_of_spans_are_within() -> None:
    spans = np.array([[1.0, 2.0], [4.0, 5.0]])
    assert are_within(np.array([0.9, 1.0, 2.0, 2.1, 4.5, 5.1]), spans).tolist() == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    assert are_within(np.array([0.9]), np.zeros((0, 2))).tolist() == [False]
