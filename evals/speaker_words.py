"""Word errors that count a word at the wrong speaker as wrong: cpWER and tcpWER, by meeteval.

cpWER: the words of each found speaker against those of the best matching expected one (Watanabe et al. 2020).
tcpWER: the same, but words more than a collar apart in time do not match (von Neumann et al. 2023).
meeteval is built from source when it is installed, so it may be missing: then neither is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from evals.normalising import SpokenWord
from evals.word_metrics import WordErrors

COLLAR_S: Final = 5.0
HOW_TO_GET: Final = "cpWER and tcpWER need meeteval, which a C++ compiler builds: `make meeteval`."


@cache
def has_meeteval() -> bool:
    try:
        import_module("meeteval")
    except ImportError:
        return False
    return True


def compare_speaker_words(
    expected: Sequence[SpokenWord], found: Sequence[SpokenWord], *, collar_s: float | None = None
) -> WordErrors | None:
    """cpWER, or tcpWER with ``collar_s``; ``None`` without meeteval. Words are normalised and have times."""
    if not has_meeteval():
        return None
    if not expected or not found:
        return WordErrors(len(expected), 0, len(expected), len(found))
    wer = import_module("meeteval").wer
    if collar_s is None:
        rate = wer.cp_word_error_rate(_segments(expected), _segments(found))
    else:
        rate = wer.time_constrained_minimum_permutation_word_error_rate(
            _segments(expected), _segments(found), collar=collar_s
        )
    return WordErrors(rate.length, rate.substitutions, rate.deletions, rate.insertions)


def _segments(words: Sequence[SpokenWord]) -> Any:
    """A segment per word, since every word has its own time. Words without speaker are one more speaker's."""
    rows = []
    for word in words:
        start_s, end_s = (word.span.start_s, word.span.end_s) if word.span else (0.0, 0.0)
        rows.append(
            {
                "session_id": "recording",
                "speaker": word.speaker or "",
                "start_time": start_s,
                "end_time": end_s,
                "words": word.text,
            }
        )
    return import_module("meeteval.io").SegLST(rows)
