from __future__ import annotations

from evals.naming import name_speakers


def test_swapped_labels_are_named_rightly() -> None:
    assert name_speakers([("anna", "2"), ("anna", "2"), ("ben", "1")]) == {"2": "anna", "1": "ben"}


def test_of_two_that_are_the_same_person_the_more_frequent_gets_the_name() -> None:
    assert name_speakers([("anna", "1"), ("anna", "2"), ("anna", "2")]) == {"2": "anna"}


def test_names_are_given_so_that_most_words_agree_in_all() -> None:
    # Greedily "1" would become anna (3 words); anna for "2" and ben for "1" agrees on 5 words instead of 3.
    pairs = [("anna", "1")] * 3 + [("ben", "1")] * 2 + [("anna", "2")] * 3
    assert name_speakers(pairs) == {"1": "ben", "2": "anna"}


def test_words_without_speaker_name_nobody() -> None:
    assert name_speakers([("anna", None), (None, "1")]) == {}
    assert name_speakers([]) == {}
