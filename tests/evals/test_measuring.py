"""The metrics together, on one small conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from erni.model import Span, Turn
from evals.borders import BorderErrors
from evals.evaluations import Evaluation, pool_evaluations, pool_folders
from evals.hearing import Hearing, join_plainly, parse_hearing
from evals.measuring import Measurement, Speed, measure, measure_joins, pool_measurements
from evals.normalising import SpokenWord
from evals.references import Reference
from evals.seams import SeamErrors
from evals.speaker_metrics import DiarizationErrors, SpeakerCount
from evals.timing import InventedWords
from evals.word_metrics import WordErrors

Say = Callable[..., list[SpokenWord]]
TURNS = (Turn(0, 3, "A"), Turn(3, 6, "B"))


@pytest.fixture
def reference(say: Say) -> Reference:
    words = say("one moment please who is there", "AAABBB")
    return Reference(tuple(words), TURNS, tuple(turn.span for turn in TURNS), has_word_times=True)


@pytest.fixture
def hearing(say: Say) -> Hearing:
    """Everything right but the speakers' labels."""
    words = say("One moment, please. Who is there?", "111222")
    turns = (Turn(0, 3, "1"), Turn(3, 6, "2"))
    return Hearing("succeeded", "en", 10.0, 0.5, tuple(words), turns, seams_s=(2.75,), gaps=())


def test_a_right_transcript_has_no_errors(reference: Reference, hearing: Hearing) -> None:
    # "one" is "1" and "moment please" stays: 6 words after normalisation on both sides.
    measured = measure(reference, hearing, hearing.seams_s)
    assert measured.speed == Speed(0.5, 10.0)
    assert measured.words == WordErrors(6, 0, 0, 0)
    assert measured.turns == DiarizationErrors(6, 0, 0, 0)
    assert measured.speakers == SpeakerCount(2, 2, 0)
    assert measured.invented == InventedWords(0, 3.5)
    assert measured.seams == SeamErrors(1, 0, 0)
    assert measured.word_times is not None
    assert measured.word_times.errors_s == (0.0,) * 6


def test_plainly_joined_words_go_to_who_has_most_of_them_by_plain_turns(hearing: Hearing) -> None:
    assert join_plainly(hearing) is None
    plain = join_plainly(replace(hearing, plain_turns=(Turn(0, 3.3, "1"), Turn(3.3, 6, "2"))))
    assert plain is not None
    assert [word.speaker for word in plain.words] == ["1", "1", "1", "1", "2", "2"]
    assert [word.text for word in plain.words] == [word.text for word in hearing.words]


def test_each_join_has_its_own_border_errors(reference: Reference, hearing: Hearing) -> None:
    late = replace(
        hearing, words=tuple(replace(word, speaker="1" if n < 4 else "2") for n, word in enumerate(hearing.words))
    )
    measured = measure_joins(reference, {"boundary": hearing, "overlap": late})
    assert measured["boundary"] == (BorderErrors(2, 0), ())
    assert measured["overlap"] == (BorderErrors(2, 1), (SpokenWord("who", Span(3.0, 3.5), "B"),))


def test_an_empty_transcript_is_measured(reference: Reference, hearing: Hearing) -> None:
    measured = measure(reference, replace(hearing, words=(), turns=()), (2.75,))
    assert measured.words == WordErrors(6, 0, 6, 0)
    assert measured.turns == DiarizationErrors(6, 6, 0, 0)
    assert measured.seams == SeamErrors(1, 0, losses=4)  # middles 1.25, 2.25, 3.25 and 4.25 are within 2 s of 2.75


def test_a_text_alone_tells_about_words_and_seams_only(reference: Reference, hearing: Hearing) -> None:
    text = Reference(tuple(SpokenWord(word.text) for word in reference.words or ()), None, None, has_word_times=False)
    measured = measure(text, hearing, hearing.seams_s)
    expected = Measurement(speed=Speed(0.5, 10.0), words=WordErrors(6, 0, 0, 0), seams=SeamErrors(1, 0, 0))
    assert measured == expected
    assert measure_joins(text, {"boundary": hearing}) == {}


def test_turns_alone_tell_about_speakers_and_invented_words_only(reference: Reference, hearing: Hearing) -> None:
    measured = measure(replace(reference, words=None, has_word_times=False), hearing, ())
    assert (measured.words, measured.seams, measured.word_times) == (None, None, None)
    assert measured.turns == DiarizationErrors(6, 0, 0, 0)
    assert measured.invented == InventedWords(0, 3.5)


def test_without_a_diarizer_nothing_is_said_about_speakers(reference: Reference, hearing: Hearing) -> None:
    measured = measure(reference, replace(hearing, turns=None), ())
    assert (measured.turns, measured.turns_with_collar, measured.speakers) == (None, None, None)
    assert measure_joins(reference, {"boundary": replace(hearing, turns=None)}) == {}


def test_measurements_are_pooled_field_by_field() -> None:
    pooled = pool_measurements([Measurement(words=WordErrors(4, 1, 0, 0)), Measurement(speed=Speed(1, 10))])
    assert pooled == Measurement(words=WordErrors(4, 1, 0, 0), speed=Speed(1, 10))


def row(name: str, words: WordErrors, whole: WordErrors | None = None, folder: str = "") -> Evaluation:
    measured = Measurement(words=words)
    return Evaluation(
        name,
        folder,
        "succeeded",
        measured=measured,
        joins={"boundary": BorderErrors(words.expected, 1)},
        in_chunks=measured if whole else None,
        whole=Measurement(words=whole) if whole else None,
    )


def test_the_price_of_chunking_compares_the_same_recordings() -> None:
    # The second recording has no second pass, so its many errors say nothing about the price.
    pooled = pool_evaluations(
        "all", [row("a", WordErrors(10, 2, 0, 0), WordErrors(10, 1, 0, 0)), row("b", WordErrors(10, 10, 0, 0))]
    )
    assert pooled.measured.words == WordErrors(20, 12, 0, 0)
    assert pooled.word_penalty == pytest.approx(0.1)


def test_confusion_added_is_a_share_of_speech() -> None:
    chunked, whole = DiarizationErrors(100, 0, 0, 3), DiarizationErrors(100, 0, 0, 1)
    one = Evaluation("a", in_chunks=Measurement(turns=chunked), whole=Measurement(turns=whole))
    assert one.confusion_penalty == pytest.approx(0.02)
    assert one.word_penalty is None


def test_without_a_second_pass_there_is_no_price() -> None:
    pooled = pool_evaluations("all", [row("a", WordErrors(10, 2, 0, 0))])
    assert (pooled.whole, pooled.word_penalty, pooled.confusion_penalty) == (None, None, None)


def test_a_failed_recording_is_in_no_sum() -> None:
    failed = Evaluation("b", failure="damaged")
    pooled = pool_evaluations("all", [row("a", WordErrors(10, 2, 0, 0)), failed])
    assert pooled.measured.words == WordErrors(10, 2, 0, 0)
    assert pooled.joins == {"boundary": BorderErrors(10, 1)}


def test_several_folders_have_a_sum_each() -> None:
    words = WordErrors(10, 1, 0, 0)
    folders = pool_folders([row("x/a", words, folder="x"), row("x/b", words, folder="x"), row("c", words)])
    assert [(each.name, each.measured.words) for each in folders] == [("x/", words + words), ("./", words)]
    assert pool_folders([row("x/a", words, folder="x")]) == []


def test_a_hearing_is_read_from_the_transcripts_json() -> None:
    transcript = {
        "language": "en",
        "duration_s": 9.0,
        "segments": [{"words": [{"text": "Hi", "start_s": 1.0, "end_s": 1.5, "speaker": "speaker_1"}]}],
        "coverage": {"seams": [{"at_s": 4.0}], "gaps": [{"start_s": 5.0, "end_s": 6.0}]},
    }
    job = {"status": "partial", "timings": {"total_s": 2.0}}
    words = (SpokenWord("Hi", Span(1.0, 1.5), "speaker_1"),)
    assert parse_hearing(job, transcript, None) == Hearing(
        "partial", "en", 9.0, 2.0, words, None, (4.0,), (Span(5, 6),)
    )
