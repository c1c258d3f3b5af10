from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.model import Span, Turn
from erni.timeline import Timeline

TURNS = (Turn(0.0, 2.0, "A"), Turn(1.0, 3.0, "B"), Turn(5.0, 6.0, "A"))


def test_overlapping_turns_count_for_both_speakers() -> None:
    assert Timeline(TURNS).overlaps(0.5, 5.5) == {"A": 2.0, "B": 2.0}


def test_silence_belongs_to_nobody() -> None:
    assert Timeline(TURNS).overlaps(3.0, 5.0) == {}


def test_two_turns_of_one_speaker_at_the_same_time_count_once() -> None:
    assert Timeline((Turn(0.0, 2.0, "A"), Turn(1.0, 3.0, "A"))).overlaps(0.0, 3.0) == {"A": 3.0}


@pytest.mark.parametrize(("at_s", "speaker"), [(-9.0, "A"), (2.5, "B"), (3.4, "B"), (4.6, "A"), (99.0, "A")])
def test_the_nearest_speaker_is_found_on_all_sides(at_s: float, speaker: str) -> None:
    assert Timeline(TURNS).nearest(at_s) == speaker


@pytest.mark.parametrize(
    ("at_s", "depth_s"), [(-1.0, -1.0), (0.5, 0.5), (1.6, 0.4), (3.0, -1.0), (4.5, -0.5), (7.0, -1.0)]
)
def test_depth_is_the_distance_to_the_border_of_the_nearest_turn(at_s: float, depth_s: float) -> None:
    assert Timeline(TURNS).depth_s("A", at_s) == pytest.approx(depth_s)


def test_a_turn_is_sole_only_when_nobody_talks_in_any_part_of_it() -> None:
    timeline = Timeline(TURNS)
    assert timeline.sole_turn(5.5) == ("A", Span(5.0, 6.0))
    assert timeline.sole_turn(0.5) is None
    assert timeline.sole_turn(1.5) is None
    assert timeline.sole_turn(4.0) is None
    assert timeline.sole_turn(-1.0) is None


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10), st.sampled_from("ABC")), max_size=12),
    st.integers(0, 50),
    st.integers(1, 10),
)
def test_overlaps_are_those_counted_second_by_second(
    spans: list[tuple[int, int, str]], start: int, length: int
) -> None:
    turns = [Turn(first, first + seconds, speaker) for first, seconds, speaker in spans]
    counted = {
        speaker: float(seconds)
        for speaker in "ABC"
        if (
            seconds := sum(
                any(turn.speaker == speaker and turn.start_s <= second < turn.end_s for turn in turns)
                for second in range(start, start + length)
            )
        )
    }
    assert Timeline(turns).overlaps(start, start + length) == counted
