from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.model import Word
from erni.segmenting import LONGEST_CHARS, LONGEST_S, ends_sentence, split_segments


def line(text: str, start_s: float = 0.0, speaker: str | None = "A", step_s: float = 0.5) -> tuple[Word, ...]:
    return tuple(
        Word(word, start_s + i * step_s, start_s + (i + 1) * step_s, speaker=speaker)
        for i, word in enumerate(text.split())
    )


def test_no_words_make_no_segments() -> None:
    assert split_segments(()) == ()


def test_a_change_of_speaker_starts_a_segment() -> None:
    first, second = split_segments((*line("hello there"), *line("hi", 1.0, "B")))
    assert (first.speaker, first.text, first.start_s, first.end_s) == ("A", "hello there", 0.0, 1.0)
    assert (second.speaker, second.text) == ("B", "hi")


def test_a_long_pause_starts_a_segment_and_a_short_one_does_not() -> None:
    assert len(split_segments((*line("one"), *line("two", 2.0)))) == 2
    assert len(split_segments((*line("one"), *line("two", 1.9)))) == 1


def test_a_short_segment_does_not_end_with_its_sentence() -> None:
    assert len(split_segments(line("Yes. No. Maybe."))) == 1


def test_a_segment_that_lasts_long_ends_with_its_sentence() -> None:
    words = line("w " * 29 + "end. Then more")
    assert [segment.text for segment in split_segments(words)] == ["w " * 29 + "end.", "Then more"]


def test_a_segment_of_many_letters_ends_with_its_sentence() -> None:
    words = line("abcdefghi " * 25 + "end. Then", step_s=0.1)
    assert split_segments(words)[-1].text == "Then"


def test_without_punctuation_a_segment_ends_somewhere() -> None:
    segments = split_segments(line("word " * 1000))
    assert max(segment.end_s - segment.start_s for segment in segments) <= LONGEST_S
    assert max(len(segment.text) for segment in split_segments(line("word " * 1000, step_s=0.01))) <= LONGEST_CHARS


@pytest.mark.parametrize("text", ["end.", "end?", 'end!"', "end.)", "\u7d42\u3002", "end\u2026", "end.\u201d"])
def test_sentence_ends_are_seen_behind_closing_marks(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["end", "end,", "e.g", '"', "end:", "Mr.", '"Dr.'])
def test_other_words_do_not_end_a_sentence(text: str) -> None:
    assert not ends_sentence(text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b.", "word"]),
            st.floats(0, 3),
            st.floats(0.02, 9),
            st.sampled_from(["A", "B", None]),
        )
    )
)
def test_every_word_is_in_exactly_one_segment_of_its_speaker(
    spoken: list[tuple[str, float, float, str | None]],
) -> None:
    words: list[Word] = []
    for text, pause_s, length_s, speaker in spoken:
        start_s = (words[-1].end_s if words else 0.0) + pause_s
        words.append(Word(text, start_s, start_s + length_s, speaker=speaker))
    segments = split_segments(words)
    assert [word for segment in segments for word in segment.words] == words
    assert all(segment.words for segment in segments)
    assert all({word.speaker for word in segment.words} == {segment.speaker} for segment in segments)
