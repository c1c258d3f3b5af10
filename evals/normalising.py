"""The one rule for what counts as the same word: the text standardisation of Whisper's paper. Knows no metric.

English goes through the paper's English rules, every other language through its basic ones (Radford et al. 2022,
appendix C; the package ``whisper-normalizer`` carries the authors' code). Languages written without spaces are
compared letter by letter, as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from erni.model import Span
from evals.aligning import align

_UNSPACED: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word somebody said; ``span`` and ``speaker`` where they are known."""

    text: str
    span: Span | None = None
    speaker: str | None = None

    @property
    def middle_s(self) -> float:
        """Raises ValueError where the time is not known."""
        if self.span is None:
            raise ValueError("The time of this word is not known.")
        return (self.span.start_s + self.span.end_s) / 2


def normalise(text: str, language: str | None) -> list[str]:
    """The words of ``text`` as they are compared; an unknown language gets the basic rules."""
    # The paper's rules know the typewriter's apostrophe only and would make two words of the printer's.
    words: list[str] = _normaliser(language)(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).split()
    return words


def normalise_words(words: Sequence[SpokenWord], language: str | None) -> list[SpokenWord]:
    """The same for words with times and speakers.

    The text is normalised as a whole, because numbers reach over words ("twenty five" is "25"); each word that
    comes out takes time and speaker from those it was made of.
    """
    alone = [replace(word, text=text) for word in words for text in _normalise_alone(word.text, language)]
    together = normalise(" ".join(word.text for word in words), language)
    if not alone:
        return []
    return [_merge(alone[first:behind], text) for first, behind, text in _sources(alone, together)]


@cache
def _normaliser(language: str | None) -> Callable[[str], str]:
    if language == "en":
        english: Callable[[str], str] = EnglishTextNormalizer()
        return english
    basic: Callable[[str], str] = BasicTextNormalizer(split_letters=language in _UNSPACED)
    return basic


@lru_cache(maxsize=100_000)
def _normalise_alone(word: str, language: str | None) -> tuple[str, ...]:
    return tuple(normalise(word, language))


def _sources(alone: Sequence[SpokenWord], together: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """For each word of the whole text, which of those normalised alone it stands for: ``[first, behind)``.

    Equal words stand for each other; between them the shares are even.
    """
    matched = align([word.text for word in alone], together).matched
    done = made = 0
    for index, number in [*matched, (len(alone), len(together))]:
        size, count = index - done, number - made
        for part in range(count):
            first = min(done + part * size // count, len(alone) - 1)
            yield first, max(first + 1, done + (part + 1) * size // count), together[made + part]
        if number < len(together):
            yield index, index + 1, together[number]
        done, made = index + 1, number + 1


def _merge(words: Sequence[SpokenWord], text: str) -> SpokenWord:
    spans = [word.span for word in words if word.span is not None]
    span = Span(spans[0].start_s, max(each.end_s for each in spans)) if spans else None
    return SpokenWord(text, span, words[0].speaker)
