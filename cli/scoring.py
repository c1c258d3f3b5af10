"""How well the demo's transcript matches its reference: word errors and right speakers. Reads and prints nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evals.aligning import align
from evals.naming import name_speakers
from evals.normalising import SpokenWord, normalise_words
from evals.word_metrics import count_word_errors


@dataclass(frozen=True, slots=True)
class Score:
    """Share of wrong words (insertions count, so it may pass 1), and whether speakers are right.

    ``speaker_word_accuracy`` looks at the words of the reference for which some word was recognised: the
    share that has the right speaker under the best one-to-one naming of speakers, 0 where there is none.
    """

    word_error_rate: float
    words_expected: int
    words_found: int
    speakers_expected: int
    speakers_found: int
    speaker_word_accuracy: float


def score_transcript(transcript_json: dict[str, Any], reference_json: dict[str, Any]) -> Score:
    """Compare a transcript in Erni's JSON format with a reference: ``language``, ``turns`` of ``speaker`` and ``text``.

    Raises:
        ValueError: the reference holds no words.
    """
    language = reference_json["language"]
    found = _spoken_words(
        ((word["speaker"], word["text"]) for segment in transcript_json["segments"] for word in segment["words"]),
        language,
    )
    expected = _spoken_words(((turn["speaker"], turn["text"]) for turn in reference_json["turns"]), language)
    alignment = align([word.text for word in expected], [word.text for word in found])
    word_error_rate = count_word_errors(alignment).rate
    if word_error_rate is None:
        raise ValueError("The reference holds no words to compare with.")
    pairs = [(expected[one].speaker, found[other].speaker) for one, other in alignment.pairs]
    names = name_speakers(pairs)
    right = sum(one is not None and names.get(other or "") == one for one, other in pairs)
    return Score(
        word_error_rate=word_error_rate,
        words_expected=len(expected),
        words_found=len(found),
        speakers_expected=len({turn["speaker"] for turn in reference_json["turns"]}),
        speakers_found=len(transcript_json["speakers"]),
        speaker_word_accuracy=right / len(pairs) if pairs else 0.0,
    )


def _spoken_words(spoken: Iterable[tuple[str | None, str]], language: str) -> list[SpokenWord]:
    words = [SpokenWord(word, speaker=speaker) for speaker, text in spoken for word in text.split()]
    return normalise_words(words, language)
