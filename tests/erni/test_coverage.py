from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.coverage import drop_invented, drop_loops, find_lost_speech, measure_coverage
from erni.model import Chunk, Gap, Plan, Seam, Span, Word


def heard(text: str, start_s: float, *, step_s: float = 0.3) -> tuple[Word, ...]:
    return tuple(Word(word, start_s + i * step_s, start_s + (i + 1) * step_s) for i, word in enumerate(text.split()))


def texts(words: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in words)


# ---- text on silence ----------------------------------------------------------------------------


def test_text_far_from_speech_is_dropped_and_the_notice_says_how_much_and_where() -> None:
    words = (*heard("we are done", 1.0), *heard("Thank you for watching!", 20.0))
    kept, (notice,) = drop_invented(words, (Span(0.9, 2.0),))
    assert texts(kept) == "we are done"
    assert notice.code == "text_on_silence"
    assert notice.message.startswith("Text on silence was removed: 4 words between 20.0 s and 21.2 s")
    assert notice.span == Span(20.0, pytest.approx(21.2))


def test_text_at_the_edges_of_speech_stays() -> None:
    words = (*heard("early", 0.3), *heard("late", 2.4))
    assert drop_invented(words, (Span(1.0, 2.0),)) == (words, ())


def test_the_last_word_of_a_phrase_pushed_out_into_silence_stays() -> None:
    words = (Word("he", 1.5, 4.0), Word("said.", 4.0, 4.02))
    assert drop_invented(words, (Span(1.0, 2.0),)) == (words, ())


def test_pieces_of_one_silence_are_told_in_one_notice() -> None:
    words = (*heard("we talk", 0.2), *heard("you", 20.0), *heard("you", 30.0), *heard("again", 60.1))
    kept, (notice,) = drop_invented(words, (Span(0.0, 1.0), Span(60.0, 61.0)))
    assert texts(kept) == "we talk again"
    assert "2 words between 20.0 s and 30.3 s" in notice.message


def test_without_speech_all_text_is_invented() -> None:
    kept, (notice,) = drop_invented(heard("you", 3.0), ())
    assert kept == ()
    assert "1 word between" in notice.message


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.02, 2)), max_size=20),
    st.lists(st.integers(0, 49), unique=True, max_size=10),
)
def test_text_on_speech_is_never_dropped(times: list[tuple[float, float]], seconds: list[int]) -> None:
    words = tuple(Word("word", start_s, start_s + length_s) for start_s, length_s in sorted(times))
    speech = tuple(Span(2.0 * second, 2.0 * second + 1) for second in sorted(seconds))
    kept, notices = drop_invented(words, speech)
    spoken = [w for w in words if any(span.overlap_s(Span(w.start_s, w.end_s)) > 0 for span in speech)]
    assert set(spoken) <= set(kept)
    assert bool(notices) == (len(kept) < len(words))


# ---- loops --------------------------------------------------------------------------------------


def test_a_loop_without_time_is_reduced_to_its_first_utterance() -> None:
    words = (*heard("and then", 1.0), *heard("thank you. " * 12, 1.6, step_s=0.01), *heard("So next", 2.0))
    kept, (notice,) = drop_loops(words)
    assert texts(kept) == "and then thank you. So next"
    assert notice.code == "repetition_removed"
    assert "22 words, one phrase 12 times" in notice.message


def test_a_loop_of_zero_length_words_spread_over_a_minute_is_removed() -> None:
    words = tuple(Word("you", 2.0 * n, 2.0 * n + 0.02) for n in range(30))
    kept, _ = drop_loops(words)
    assert texts(kept) == "you"


@pytest.mark.parametrize("said", ["no no no no no no", "ha ha ha ha ha ha ha ha", "bye bye, bye bye. Bye bye."])
def test_a_repetition_that_can_be_spoken_stays(said: str) -> None:
    words = heard(said, 1.0, step_s=0.2)
    assert drop_loops(words) == (words, ())


def test_long_words_too_fast_to_be_spoken_are_a_loop() -> None:
    kept, _ = drop_loops(heard("unfortunately " * 6, 0.0, step_s=0.15))
    assert texts(kept) == "unfortunately"


def test_a_few_quick_repetitions_stay() -> None:
    words = heard("no no no no", 1.0, step_s=0.02)
    assert drop_loops(words) == (words, ())


def test_a_long_repetition_at_a_human_pace_stays_with_a_notice() -> None:
    words = heard("I do not know. " * 12, 0.0)
    kept, (notice,) = drop_loops(words)
    assert kept == words
    assert notice.code == "repetition_suspected"
    assert "12 times" in notice.message


def test_two_loops_behind_each_other_are_both_removed() -> None:
    words = (*heard("a b " * 6, 0.0, step_s=0.02), *heard("c " * 6, 1.0, step_s=0.02))
    kept, notices = drop_loops(words)
    assert texts(kept) == "a b c"
    assert len(notices) == 2


def test_case_and_punctuation_do_not_hide_a_loop() -> None:
    kept, _ = drop_loops(heard("Okay. okay, OKAY okay! Okay? okay", 0.0, step_s=0.01))
    assert texts(kept) == "Okay."


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 0.5)), max_size=60))
def test_words_at_a_human_pace_are_never_dropped(spoken: list[tuple[str, float]]) -> None:
    words: list[Word] = []
    for text, length_s in spoken:
        start_s = words[-1].end_s if words else 0.0
        words.append(Word(text, start_s, start_s + length_s + 0.001))
    assert drop_loops(words)[0] == tuple(words)


# ---- speech without words, coverage -------------------------------------------------------------


def test_long_speech_without_words_is_told() -> None:
    words = (*heard("hello there", 0.1), *heard("bye", 12.0))
    (notice,) = find_lost_speech(words, (Span(0.0, 12.5),), ())
    assert notice.code == "speech_without_words"
    assert notice.span == Span(pytest.approx(0.7), 12.0)


def test_short_speech_without_words_is_not_worth_a_notice() -> None:
    assert find_lost_speech((), (Span(0.0, 3.0), Span(10.0, 13.0)), ()) == ()


def test_speech_with_short_pauses_counts_as_one_stretch() -> None:
    assert len(find_lost_speech((), (Span(0.0, 2.5), Span(3.0, 5.5)), ())) == 1


def test_a_stretched_word_does_not_hide_lost_speech() -> None:
    assert len(find_lost_speech((Word("so", 0.0, 20.0),), (Span(0.0, 20.0),), ())) == 1


def test_speech_in_a_gap_is_not_told_twice() -> None:
    gap = Gap(Span(0.0, 20.0), "The engine refused it.")
    assert find_lost_speech((), (Span(5.0, 19.0),), (gap,)) == ()


def test_a_recording_without_speech_is_told() -> None:
    (notice,) = find_lost_speech((), (), ())
    assert notice.code == "no_speech"
    assert notice.message == "No speech was found in this recording."


def test_coverage_counts_the_speech_outside_the_gaps() -> None:
    speech = (Span(0.0, 4.0), Span(6.0, 10.0), Span(12.0, 14.0))
    plan = Plan(15.0, speech, (Chunk(0, Span(0.0, 15.0), Span(0.0, 14.0)),))
    gaps = (Gap(Span(8.0, 13.0), "Out of memory."), Gap(Span(9.0, 10.0), "Refused."))
    seams = (Seam(5.0, "silence"),)
    coverage = measure_coverage(plan, heard("one two", 0.5), gaps, seams)
    assert coverage.duration_s == 15.0
    assert coverage.speech_s == 10.0
    assert coverage.covered_speech_s == 7.0
    assert coverage.word_count == 2
    assert coverage.gaps == gaps
    assert coverage.seams == seams


@given(
    st.lists(st.integers(0, 60), unique=True, max_size=20),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9))),
)
def test_covered_speech_is_that_counted_second_by_second(seconds: list[int], holes: list[tuple[int, int]]) -> None:
    speech = tuple(Span(second, second + 1) for second in sorted(seconds))
    gaps = [Gap(Span(start, start + length), "gone") for start, length in holes]
    covered = [s for s in seconds if not any(gap.span.start_s <= s < gap.span.end_s for gap in gaps)]
    assert measure_coverage(Plan(70.0, speech, ()), (), gaps, ()).covered_speech_s == len(covered)
