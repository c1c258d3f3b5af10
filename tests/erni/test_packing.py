from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.model import Segment, Word
from erni.packing import pack_segments, pack_words, with_speakers

numbers = st.floats(0, 1e5)
words = st.builds(
    Word,
    st.sampled_from(["so", "well", ""]) | st.text(max_size=9),
    numbers,
    numbers,
    st.none() | st.floats(0, 1),
    st.sampled_from(["exact", "aligned", "estimated"]),
    st.none() | st.sampled_from(["speaker_1", "speaker_2"]),
)
segments = st.builds(
    Segment, numbers, numbers, st.none() | st.just("speaker_1"), st.lists(words, max_size=3).map(tuple)
)


@given(st.lists(words))
def test_packed_words_are_the_words(spoken: list[Word]) -> None:
    packed = pack_words(iter(spoken))
    assert list(packed) == spoken
    assert [packed[index] for index in range(len(packed))] == spoken
    assert packed == spoken
    assert spoken == packed


@given(st.lists(words, max_size=9), st.integers(-9, 9), st.integers(-9, 9))
def test_slice_of_packed_words_is_the_slice(spoken: list[Word], first: int, behind: int) -> None:
    assert pack_words(spoken)[first:behind] == tuple(spoken[first:behind])


@given(st.lists(segments))
def test_packed_segments_are_the_segments(lines: list[Segment]) -> None:
    packed = pack_segments(iter(lines))
    assert list(packed) == lines
    assert [packed[index] for index in range(len(packed))] == lines
    assert packed == tuple(lines)


def test_packed_words_end_where_they_end() -> None:
    packed = pack_words([Word("so", 0.0, 1.0)])
    assert packed[-1].text == "so"
    with pytest.raises(IndexError):
        packed[1]


def test_one_other_word_makes_another_sequence() -> None:
    spoken = [Word("so", 0.0, 1.0), Word("well", 1.0, 2.0)]
    assert pack_words(spoken) != [*spoken[:1], Word("well", 1.0, 2.1)]
    assert pack_words(spoken) != spoken[:1]


def test_new_speakers_leave_the_words_and_their_first_speakers_alone() -> None:
    packed = pack_words([Word("so", 0.0, 1.0, speaker="A")])
    assert with_speakers(packed, ["B"]) == [Word("so", 0.0, 1.0, speaker="B")]
    assert packed == [Word("so", 0.0, 1.0, speaker="A")]


def test_text_said_twice_is_kept_once() -> None:
    packed = pack_words(Word("".join(letters), 0.0, 1.0) for letters in ("so", "so"))
    assert packed[0].text is packed[1].text


def test_packed_words_take_a_quarter_of_the_memory() -> None:
    packed = pack_words(Word("so", float(at), at + 0.5, 0.5) for at in range(10_000))
    columns = (packed.texts, packed.starts_s, packed.ends_s, packed.confidences, packed.timings, packed.speakers)
    word = packed[0]
    plain_bytes = sum(map(sys.getsizeof, (word, word.start_s, word.end_s, word.confidence))) + 8
    assert sum(map(sys.getsizeof, columns)) / len(packed) < 56 < plain_bytes / 2.5
