from __future__ import annotations

from erni.borders import find_speakers
from erni.model import Turn, Word
from erni.timeline import Timeline


def who(text: str, turns: tuple[Turn, ...], *, start_s: float = 0.0, pauses: dict[int, float] | None = None) -> str:
    """The speakers of the words of ``text``, 0.3 s each, with pauses before the words of these indices."""
    words = []
    at_s = start_s
    for index, word in enumerate(text.split()):
        at_s += (pauses or {}).get(index, 0.0)
        words.append(Word(word, at_s, at_s + 0.3))
        at_s += 0.3
    return "".join(find_speakers(words, Timeline(turns)))


def two(border_s: float) -> tuple[Turn, ...]:
    return (Turn(0.0, border_s, "A"), Turn(border_s, 10.0, "B"))


def test_a_border_moves_to_the_end_of_the_sentence_before_it() -> None:
    assert who("and that is it. Well we can go on", two(1.8)) == "AAAABBBBB"


def test_a_border_moves_to_the_end_of_the_sentence_behind_it() -> None:
    assert who("and that is what we do. Well yes", two(1.2)) == "AAAAAABB"


def test_a_title_stays_with_its_name() -> None:
    assert who("and that is it Mr. Well can go on", two(1.8), pauses={4: 0.4}) == "AAAABBBBB"


def test_a_border_moves_to_a_pause() -> None:
    assert who("and that is it well we can go", two(1.6), pauses={4: 0.4}) == "AAAABBBB"
    assert who("and that is it well we can go", two(1.2), pauses={5: 0.4}) == "AAAAABBB"


def test_a_border_moves_before_a_capital_letter_but_not_before_an_english_i() -> None:
    assert who("and that is what we Peter can do it all then", two(1.75)) == "AAAAABBBBBB"
    assert who("and that is what we peter can do it all then", two(1.75)) == "AAAAAABBBBB"
    assert who("and that is what we I can do it all then", two(1.75)) == "AAAAAABBBBB"


def test_a_border_does_not_move_far() -> None:
    text = "one. two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    assert who(text, two(2.4)) == "AAAAAAAABBBBBB"


def test_a_stray_word_without_a_turn_of_its_own_is_absorbed() -> None:
    turns = (Turn(0.0, 1.0, "A"), Turn(1.0, 1.2, "B"), Turn(1.2, 5.0, "A"))
    assert who("we can do that next week or so then", turns) == "AAAAAAAAA"


def test_a_back_channel_with_a_turn_of_its_own_stays() -> None:
    turns = (Turn(0.0, 1.2, "A"), Turn(1.2, 1.5, "B"), Turn(1.5, 5.0, "A"))
    assert who("we can do that Yeah. next week or so then", turns) == "AAAABAAAAA"
    slow = (Turn(0.0, 1.3, "A"), Turn(1.5, 1.8, "B"), Turn(2.1, 5.0, "A"))
    assert who("we can do that yeah next week or so then", slow, pauses={4: 0.3, 5: 0.3}) == "AAAABAAAAA"


def test_a_turn_of_a_second_stays_even_inside_a_phrase() -> None:
    turns = (Turn(0.0, 1.2, "A"), Turn(1.2, 2.2, "B"), Turn(2.2, 9.0, "A"))
    assert who("we can do that no we cannot next week or so then and there", turns) == "AAAABBBAAAAAAA"


def test_a_back_channel_over_which_the_other_goes_on_talking_is_not_pinned() -> None:
    turns = (Turn(0.0, 5.0, "A"), Turn(1.2, 1.5, "B"))
    assert who("we can do that and next week then", turns) == "AAAAAAAA"


def test_a_clear_change_inside_a_phrase_stays_where_the_turns_have_it() -> None:
    turns = (Turn(0.0, 3.0, "A"), Turn(3.0, 9.0, "B"))
    assert who("a b c d e f g h i j k l m n o p q r s t", turns) == "A" * 10 + "B" * 10


def test_a_speaker_out_of_reach_never_gets_the_word() -> None:
    turns = (Turn(0.0, 1.0, "A"), Turn(20.0, 21.0, "B"))
    assert who("one two three", turns, start_s=18.0) == "BBB"
    assert who("one two three", turns, start_s=4.0) == "AAA"


def test_no_words_have_no_speakers() -> None:
    assert find_speakers((), Timeline((Turn(0.0, 1.0, "A"),))) == []
