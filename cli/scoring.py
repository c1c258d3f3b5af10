"""How well a transcript matches a known reference: word errors and right speakers. Reads and prints nothing.

Normalisation follows the idea of the English text standardisation in the Whisper paper (Radford et al.,
2022, appendix C): differences of writing (case, punctuation, contractions, digits for small numbers) are not
errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jiwer
import numpy as np
from scipy.optimize import linear_sum_assignment

_CONTRACTIONS: Final = (
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b|\bcannot\b", "can not"),
    (r"\blet's\b", "let us"),
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'ve\b", " have"),
    (r"'ll\b", " will"),
    (r"'m\b", " am"),
    (r"\b(it|that|what|there|he|she|who|where|here|how)'s\b", r"\1 is"),
)
_NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SPELLINGS: Final = {"ok": "okay", "colour": "color", "colours": "colors"} | {
    str(number): word for number, word in enumerate(_NUMBERS)
}


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


@dataclass(frozen=True, slots=True)
class _SpokenWord:
    text: str
    speaker: str | None


def score_transcript(transcript_json: dict[str, Any], reference_json: dict[str, Any]) -> Score:
    """Compare a transcript in Erni's JSON format with a reference: ``turns`` of ``speaker`` and ``text``.

    Raises:
        ValueError: the reference holds no words.
    """
    found = _spoken_words(
        (word["speaker"], word["text"]) for segment in transcript_json["segments"] for word in segment["words"]
    )
    expected = _spoken_words((turn["speaker"], turn["text"]) for turn in reference_json["turns"])
    if not expected:
        raise ValueError("The reference holds no words to compare with.")
    alignment = jiwer.process_words(" ".join(word.text for word in expected), " ".join(word.text for word in found))
    pairs = [
        (expected[reference_at].speaker, found[found_at].speaker)
        for chunk in alignment.alignments[0]
        if chunk.type in {"equal", "substitute"}
        for reference_at, found_at in zip(
            range(chunk.ref_start_idx, chunk.ref_end_idx),
            range(chunk.hyp_start_idx, chunk.hyp_end_idx),
            strict=True,
        )
    ]
    return Score(
        word_error_rate=float(alignment.wer),
        words_expected=len(expected),
        words_found=len(found),
        speakers_expected=len({turn["speaker"] for turn in reference_json["turns"]}),
        speakers_found=len(transcript_json["speakers"]),
        speaker_word_accuracy=_agreement(pairs),
    )


def normalise(text: str) -> list[str]:
    """The words of ``text`` as they are compared."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for pattern, replacement in _CONTRACTIONS:
        text = re.sub(pattern, replacement, text)
    words = re.findall(r"\w+", text.replace("'", ""))
    return [_SPELLINGS.get(word, word) for word in words]


def _spoken_words(spoken: Iterable[tuple[str | None, str]]) -> list[_SpokenWord]:
    return [_SpokenWord(word, speaker) for speaker, text in spoken for word in normalise(text)]


def _agreement(pairs: list[tuple[str | None, str | None]]) -> float:
    """Share of pairs that agree when every found speaker stands for one expected speaker at most."""
    if not pairs:
        return 0.0
    expected = sorted({speaker for speaker, _ in pairs if speaker is not None})
    found = sorted({speaker for _, speaker in pairs if speaker is not None})
    counts = np.zeros((len(expected), len(found)), dtype=int)
    for expected_speaker, found_speaker in pairs:
        if expected_speaker is not None and found_speaker is not None:
            counts[expected.index(expected_speaker), found.index(found_speaker)] += 1
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / len(pairs))
