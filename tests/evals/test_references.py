from __future__ import annotations

import json
from pathlib import Path

import pytest

from erni.errors import InputError
from erni.model import Span, Turn
from evals.normalising import SpokenWord
from evals.references import Reference, Utterance, load_reference, spread_words

SEGLST = [
    {"session_id": "talk", "speaker": "ben", "start_time": "2.0", "end_time": 3.0, "words": "Hi there"},
    {"session_id": "talk", "speaker": "anna", "start_time": 0.5, "end_time": 1.5, "words": "Hello"},
]
STM = ";; a comment\ntalk 1 ben 2.0 3.0 <o,f0,male> Hi there\ntalk 1 anna 0.5 1.5 Hello\n"
RTTM = "SPEAKER talk 1 0.500 1.000 <NA> <NA> anna <NA> <NA>\nSPKR-INFO talk 1 <NA> <NA> <NA> adult anna <NA> <NA>\n"
WORDS = 'start\tend\tspeaker\tword\n2.6\t2.9\tben\tthere"\n2.0\t2.4\tben\tHi\n'
HELLO_HI_THERE = (
    SpokenWord("Hello", Span(0.5, 1.5), "anna"),
    SpokenWord("Hi", Span(2.0, 2.5), "ben"),
    SpokenWord("there", Span(2.5, 3.0), "ben"),
)


def load(folder: Path, **files: str) -> Reference:
    """The reference of ``talk.flac`` beside files named for their suffix."""
    for suffix, text in files.items():
        (folder / f"talk.{suffix.replace('_', '.')}").write_text(text, encoding="utf-8")
    return load_reference(folder / "talk.flac", folder)


@pytest.mark.parametrize("files", [{"seglst_json": json.dumps(SEGLST)}, {"stm": STM}])
def test_utterances_give_words_speakers_turns_and_speech(tmp_path: Path, files: dict[str, str]) -> None:
    reference = load(tmp_path, **files)
    assert reference.words == HELLO_HI_THERE
    assert set(reference.turns or ()) == {Turn(0.5, 1.5, "anna"), Turn(2.0, 3.0, "ben")}
    assert set(reference.speech or ()) == {Span(0.5, 1.5), Span(2.0, 3.0)}
    assert (reference.has_speakers, reference.has_times, reference.has_word_times) == (True, True, False)


def test_rttm_gives_turns_but_no_words(tmp_path: Path) -> None:
    reference = load(tmp_path, rttm=RTTM)
    assert (reference.words, reference.turns) == (None, (Turn(0.5, 1.5, "anna"),))
    assert (reference.has_speakers, reference.has_times) == (False, False)


def test_rttm_says_better_than_utterances_who_speaks_when(tmp_path: Path) -> None:
    reference = load(tmp_path, stm=STM, rttm=RTTM)
    assert reference.turns == (Turn(0.5, 1.5, "anna"),)
    assert reference.words == HELLO_HI_THERE
    assert set(reference.speech or ()) == {Span(0.5, 1.5), Span(2.0, 3.0)}


def test_measured_word_times_are_preferred_to_spread_ones(tmp_path: Path) -> None:
    reference = load(tmp_path, stm=STM, words_tsv=WORDS)
    assert reference.words == (SpokenWord("Hi", Span(2.0, 2.4), "ben"), SpokenWord('there"', Span(2.6, 2.9), "ben"))
    assert reference.has_word_times


def test_text_gives_words_only(tmp_path: Path) -> None:
    reference = load(tmp_path, txt="Hello\nhi there\n")
    assert reference.words == (SpokenWord("Hello"), SpokenWord("hi"), SpokenWord("there"))
    assert (reference.turns, reference.speech) == (None, None)
    assert (reference.has_speakers, reference.has_times) == (False, False)


@pytest.mark.parametrize("files", [{"seglst_json": "[]"}, {"stm": ""}, {"txt": " \n"}])
def test_an_empty_reference_says_that_nobody_speaks(tmp_path: Path, files: dict[str, str]) -> None:
    reference = load(tmp_path, **files)
    assert (reference.words, reference.speech) == ((), ())


def test_a_list_has_the_words_of_recordings_below_it(tmp_path: Path) -> None:
    (tmp_path / "refs.tsv").write_text("one\tthe first\ntwo\tthe second\n")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    reference = load_reference(folder / "two.flac", tmp_path)
    assert reference.words == (SpokenWord("the"), SpokenWord("second"))


def test_a_list_above_the_folder_is_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "refs.tsv").write_text("one\tthe first\n")
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(InputError):
        load_reference(folder / "one.flac", folder)


def test_a_missing_reference_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"talk\.flac has no reference\. Put talk\.seglst\.json, \.stm"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"seglst_json": "{"}, "is not SegLST"),
        ({"seglst_json": "3"}, "is not SegLST"),
        ({"seglst_json": '[{"speaker": "a", "start_time": 0, "end_time": 1}]'}, "is not SegLST"),
        ({"seglst_json": '[{"speaker": "a", "start_time": 0, "end_time": "x", "words": ""}]'}, "not a time in seconds"),
        ({"stm": "talk 1 anna 0.5\n"}, "is not STM: `talk 1 anna 0.5`"),
        ({"stm": "talk 1 anna 5 2 hello\n"}, "from 5 to 2 s cannot be"),
        ({"stm": "talk 1 anna 0 inf hello\n"}, "cannot be"),
        ({"rttm": "SPEAKER talk 1 0.5\n"}, "is not RTTM"),
        ({"rttm": "SPEAKER talk 1 a 1 <NA> <NA> anna <NA> <NA>\n"}, "`a` or `1` is not a time"),
        ({"words_tsv": "0\t1\tanna\thello\n"}, "header line"),
        ({"words_tsv": "start\tend\tspeaker\tword\n0\n"}, "is not a time"),
    ],
)
def test_an_unreadable_reference_is_an_error_that_names_the_file(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match="talk") as raised:
        load(tmp_path, **files)
    assert message in raised.value.message


def test_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_bytes("für".encode("latin-1"))
    with pytest.raises(InputError, match=r"talk\.txt is not UTF-8"):
        load(tmp_path)


def test_words_share_their_utterance_evenly_and_are_in_order_of_time() -> None:
    spread = spread_words([Utterance(Span(1.2, 3.2), "b", "three four"), Utterance(Span(0, 1.5), "a", "one two five")])
    assert spread == (
        SpokenWord("one", Span(0, 0.5), "a"),
        SpokenWord("two", Span(0.5, 1.0), "a"),
        SpokenWord("five", Span(1.0, 1.5), "a"),
        SpokenWord("three", Span(1.2, 2.2), "b"),
        SpokenWord("four", Span(2.2, 3.2), "b"),
    )
