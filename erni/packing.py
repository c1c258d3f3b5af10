"""Words and segments in columns, or left in the lines of a file: the same sequences in a quarter of the memory, or in
none. Knows how to hold them, nothing of what they are for.

A day of speech is 220,000 words. As objects of their own they take some 200 bytes each; here 48, because numbers lie
side by side, and a text or speaker that was there before is not kept twice. A ``Word`` exists while somebody looks at
it. What is held here equals any sequence of the same values.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice
from math import nan
from typing import IO, Any, TypeVar, overload

from erni.model import Segment, Word, WordTiming

T = TypeVar("T")


class _Packed(Sequence[T]):
    """A sequence that makes its items when they are asked for."""

    __slots__ = ()

    @abstractmethod
    def _item(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        indices = range(len(self))[index]
        return self._item(indices) if isinstance(indices, int) else tuple(map(self._item, indices))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none


def _floats() -> array[float]:
    return array("d")


def _unless_nan(number: float) -> float | None:
    return number if number == number else None  # noqa: PLR0124  # quicker than isnan, and called for every word


@dataclass(frozen=True, slots=True, eq=False)
class PackedWords(_Packed[Word]):
    """One column per field of ``Word``. To be filled by ``pack_words`` only."""

    texts: list[str] = field(default_factory=list)
    starts_s: array[float] = field(default_factory=_floats)
    ends_s: array[float] = field(default_factory=_floats)
    confidences: array[float] = field(default_factory=_floats)
    """Not a number where there is none."""
    timings: list[WordTiming] = field(default_factory=list)
    speakers: Sequence[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[Word]:
        confidences = map(_unless_nan, self.confidences)
        return map(Word, self.texts, self.starts_s, self.ends_s, confidences, self.timings, self.speakers)

    def _item(self, index: int) -> Word:
        return Word(
            self.texts[index],
            self.starts_s[index],
            self.ends_s[index],
            _unless_nan(self.confidences[index]),
            self.timings[index],
            self.speakers[index],
        )


@dataclass(frozen=True, slots=True, eq=False)
class PackedSegments(_Packed[Segment]):
    """Consecutive ``words`` as segments, of which the n-th ends before the word ``behind[n]``."""

    words: PackedWords
    behind: array[int] = field(default_factory=lambda: array("Q"))
    starts_s: array[float] = field(default_factory=_floats)
    ends_s: array[float] = field(default_factory=_floats)
    speakers: list[str | None] = field(default_factory=list)

    def add(self, segment: Segment) -> None:
        """Append a segment, whose words are the next ones of ``words``. For those who fill this only."""
        self.behind.append((self.behind[-1] if self.behind else 0) + len(segment.words))
        self.starts_s.append(segment.start_s)
        self.ends_s.append(segment.end_s)
        self.speakers.append(segment.speaker)

    def __len__(self) -> int:
        return len(self.behind)

    def __iter__(self) -> Iterator[Segment]:
        words, done = iter(self.words), 0
        for behind, start_s, end_s, speaker in zip(self.behind, self.starts_s, self.ends_s, self.speakers, strict=True):
            yield Segment(start_s, end_s, speaker, tuple(islice(words, behind - done)))
            done = behind

    def _item(self, index: int) -> Segment:
        words = self.words[self.behind[index - 1] if index else 0 : self.behind[index]]
        return Segment(self.starts_s[index], self.ends_s[index], self.speakers[index], words)


class SegmentLines(_Packed[Segment]):
    """Segments in a file, which must stay open: one in every line but the first and the last, read when asked for."""

    __slots__ = ("_ends", "_file", "_parse")

    def __init__(self, file: IO[bytes], parse: Callable[[bytes], Segment]) -> None:
        file.seek(0)
        self._file = file
        self._parse = parse
        self._ends = array("Q", accumulate(map(len, file)))

    @property
    def frame(self) -> bytes:
        """The first line and the last, which are around the segments."""
        numbers = range(len(self._ends))
        return b"".join(map(self._line, (*numbers[:1], *numbers[1:][-1:])))

    def __len__(self) -> int:
        return max(0, len(self._ends) - 2)

    def _item(self, index: int) -> Segment:
        return self._parse(self._line(index + 1))

    def _line(self, number: int) -> bytes:
        start = self._ends[number - 1] if number else 0
        self._file.seek(start)
        return self._file.read(self._ends[number] - start)


def pack_words(words: Iterable[Word]) -> PackedWords:
    """The words, taken one by one; those packed already are returned as they are."""
    if isinstance(words, PackedWords):
        return words
    packed = PackedWords(speakers=(speakers := []))
    known: dict[Any, Any] = {}
    for word in words:
        packed.texts.append(known.setdefault(word.text, word.text))
        packed.starts_s.append(word.start_s)
        packed.ends_s.append(word.end_s)
        packed.confidences.append(nan if word.confidence is None else word.confidence)
        packed.timings.append(known.setdefault(word.timing, word.timing))
        speakers.append(known.setdefault(word.speaker, word.speaker))
    return packed


def with_speakers(words: Sequence[Word], speakers: Sequence[str | None]) -> PackedWords:
    """The same words, spoken by these, one for each word."""
    return replace(pack_words(words), speakers=speakers)


def pack_segments(segments: Iterable[Segment]) -> PackedSegments:
    """The segments, words and all, taken one by one."""
    packed = PackedSegments(PackedWords())

    def words() -> Iterator[Word]:
        for segment in segments:
            packed.add(segment)
            yield from segment.words

    return replace(packed, words=pack_words(words()))
