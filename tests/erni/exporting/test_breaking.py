"""Where captions and lines break."""

from __future__ import annotations

from erni.exporting.breaking import break_lines, split_into_captions
from erni.exporting.tokens import Token, join_tokens, make_label, make_tokens
from erni.model import Word


def tokens(text: str, *, word_s: float = 0.3, pause_after: dict[int, float] | None = None) -> list[Token]:
    """One token per word, ``word_s`` each, with extra silence after the words of these indexes."""
    words, time_s = [], 0.0
    for index, part in enumerate(text.split()):
        words.append(Word(part, time_s, time_s + word_s))
        time_s += word_s + (pause_after or {}).get(index, 0.0)
    return list(make_tokens(words))


def captions(spoken: list[Token]) -> list[str]:
    return [join_tokens(part) for part in split_into_captions(spoken)]


def test_short_sentence_is_one_caption() -> None:
    assert captions(tokens("Who wants to go first?")) == ["Who wants to go first?"]


def test_no_tokens_are_no_captions() -> None:
    assert captions([]) == []


def test_caption_ends_with_the_sentence_rather_than_in_the_next() -> None:
    spoken = tokens("I can go first. The new search page is ready, and all the tests of it are green today.")
    assert captions(spoken) == [
        "I can go first.",
        "The new search page is ready, and all the tests of it are green today.",
    ]


def test_clause_end_is_preferred_to_any_other_word() -> None:
    spoken = tokens(
        "please tell the support team when the fix is live, because many of our customers are waiting for it"
    )
    assert captions(spoken)[0].endswith("live,")


def test_pause_is_preferred_to_any_other_word() -> None:
    text = "please tell the support team when the fix is live and many of our customers are waiting for it"
    assert captions(tokens(text, pause_after={8: 0.5}))[0].endswith("is")


def test_sentence_leaves_no_lonely_last_word() -> None:
    text = "we will have to talk about the plan with the people who have to carry it out before the next release"
    parts = captions(tokens(text, word_s=0.2))
    assert len(parts) == 2
    assert min(len(part) for part in parts) > 30


def test_caption_never_spans_a_long_silence() -> None:
    assert captions(tokens("yes no", pause_after={0: 1.5})) == ["yes", "no"]


def test_caption_never_spans_more_than_seven_seconds() -> None:
    assert len(captions(tokens("one two three four five six seven eight", word_s=1.0))) == 2


def test_label_stays_with_the_word_after_it() -> None:
    spoken = [make_label("Speaker 1", 0), *tokens("x" * 42)]
    assert [break_lines(part) for part in split_into_captions(spoken)] == [("Speaker 1:", "x" * 42)]


def test_line_of_42_characters_is_not_broken() -> None:
    assert break_lines(tokens("a" * 20 + " " + "b" * 21)) == ("a" * 20 + " " + "b" * 21,)


def test_lines_are_nearly_equal() -> None:
    upper, lower = break_lines(tokens("some people were charged twice because the network was slow"))
    assert abs(len(upper) - len(lower)) <= 8


def test_upper_line_prefers_to_end_a_clause() -> None:
    spoken = tokens("The button was pressed again, before an answer came back")
    assert break_lines(spoken)[0] == "The button was pressed again,"
