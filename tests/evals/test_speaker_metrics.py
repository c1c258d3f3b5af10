from __future__ import annotations

import pytest

from erni.model import Turn
from evals.speaker_metrics import DiarizationErrors, SpeakerCount, compare_turns, count_speakers, name_turns

TEN = (Turn(0, 4, "anna"), Turn(6, 10, "ben"))


def test_swapped_labels_cost_nothing() -> None:
    found = (Turn(0, 4, "1"), Turn(6, 10, "0"))
    assert compare_turns(TEN, found, duration_s=10, collar_s=0) == DiarizationErrors(8, 0, 0, 0)


def test_each_kind_of_error_counts_its_seconds() -> None:
    # anna misses her first second; two seconds of silence are hers as well; ben's last second is anna's.
    found = (Turn(1, 6, "1"), Turn(6, 9, "2"), Turn(9, 10, "1"))
    errors = compare_turns(TEN, found, duration_s=10, collar_s=0)
    assert (errors.speech_s, errors.missed_s, errors.false_alarm_s, errors.confusion_s) == pytest.approx((8, 1, 2, 1))
    assert errors.rate == pytest.approx(4 / 8)
    assert errors.confusion_rate == pytest.approx(1 / 8)


def test_the_collar_leaves_out_its_width_on_both_sides_of_each_border() -> None:
    # Borders at 0, 4, 6 and 10: a quarter of a second inside each turn's end is not judged, so 7 s of speech are left.
    errors = compare_turns(TEN, (Turn(0.25, 3.75, "1"), Turn(6.25, 9.75, "2")), duration_s=10, collar_s=0.25)
    assert (errors.speech_s, errors.missed_s) == pytest.approx((7.0, 0))
    # Silence from 4.25 to 5.75 is judged.
    errors = compare_turns(TEN, (Turn(0, 6, "1"), Turn(6, 10, "2")), duration_s=10, collar_s=0.25)
    assert errors.false_alarm_s == pytest.approx(1.5)


def test_overlapping_speech_is_judged_for_each_speaker() -> None:
    expected = (Turn(0, 4, "anna"), Turn(2, 4, "ben"))
    errors = compare_turns(expected, (Turn(0, 4, "1"),), duration_s=4, collar_s=0)
    assert (errors.speech_s, errors.missed_s) == pytest.approx((6, 2))


def test_nothing_found_misses_all_speech() -> None:
    errors = compare_turns(TEN, (), duration_s=10, collar_s=0)
    assert (errors.missed_s, errors.rate) == pytest.approx((8, 1))


def test_turns_in_a_silent_recording_are_false_alarms_without_a_rate() -> None:
    errors = compare_turns((), (Turn(1, 3, "1"),), duration_s=10, collar_s=0)
    assert (errors.speech_s, errors.false_alarm_s, errors.rate) == (0, 2, None)


def test_too_many_and_too_few_speakers_do_not_cancel_out() -> None:
    few, many = count_speakers(TEN, TEN[:1]), count_speakers(TEN, (*TEN, Turn(11, 12, "carl")))
    assert few == SpeakerCount(expected=2, found=1, wrong_by=1)
    assert few + many == SpeakerCount(expected=4, found=4, wrong_by=2)


def test_found_speakers_are_named_by_shared_time() -> None:
    found = (Turn(0, 4, "1"), Turn(5, 10, "0"), Turn(4, 4.5, "ghost"))
    assert name_turns(TEN, found) == {"1": "anna", "0": "ben"}
