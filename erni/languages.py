"""Which language a recording is in, from what each chunk's recogniser heard. Pure; knows no engine.

The start of a recording is a poor witness: it may be silence, music or a greeting. So the first chunk that is sure of
its language and has words enough decides, and what other chunks are sure of is told to the reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from erni.model import Notice, Span

CONFIDENT: Final = 0.7
"""From this probability on a detected language is taken for right.

faster-whisper's own ``language_detection_threshold`` is 0.5. Measured with Whisper base on thirty FLEURS utterances
(German, English, French): after 3 s of speech wrong answers reach 0.62, after 6 s all are right with 0.87 or more.
"""
LEAST_WORDS: Final = 20
"""Fewer words, some eight seconds of speech, are a greeting or a back-channel and decide nothing."""


@dataclass(frozen=True, slots=True)
class HeardLanguage:
    """What one chunk's recogniser says of the language in ``span`` of the recording.

    ``confidence`` is its probability, or ``None`` where it gave none: then its word is taken.
    """

    span: Span
    language: str
    confidence: float | None
    word_count: int

    @property
    def counts(self) -> bool:
        """Whether it is sure enough, and has heard enough, to be believed."""
        return self.word_count >= LEAST_WORDS and is_confident(self.confidence)


def is_confident(confidence: float | None) -> bool:
    return confidence is None or confidence >= CONFIDENT


def decide_language(heard: Sequence[HeardLanguage]) -> tuple[str | None, tuple[Notice, ...]]:
    """The transcript's language, and one ``languages_mixed`` notice for each stretch that is surely in another one.

    ``heard`` is in order of time. The first that counts decides; where none does, the language of most words.
    """
    sure = [chunk for chunk in heard if chunk.counts]
    language = sure[0].language if sure else _language_of_most_words(heard)
    return language, tuple(_notices(sure, language))


def _language_of_most_words(heard: Sequence[HeardLanguage]) -> str | None:
    words: Counter[str] = Counter()
    for chunk in heard:
        words[chunk.language] += chunk.word_count
    return max(words, key=lambda language: words[language], default=None)


def _notices(sure: Sequence[HeardLanguage], main: str | None) -> Iterator[Notice]:
    for language, stretch in groupby(sure, lambda chunk: chunk.language):
        if language == main:
            continue
        chunks = list(stretch)
        span = Span(chunks[0].span.start_s, chunks[-1].span.end_s)
        message = (
            f"Several languages are spoken: the transcript counts as {main}, "
            f"but between {span.start_s:.1f} s and {span.end_s:.1f} s {language} is spoken."
        )
        yield Notice("languages_mixed", message, span)
