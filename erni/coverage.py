"""Takes out text nobody spoke, finds speech nobody wrote down, and accounts for both. Knows nothing of
speakers.

Recognisers of the Whisper family invent text in silence and repeat one phrase for minutes. Dropping a spoken
word is the worse mistake, so text goes only on proof (silence all around it, or a pace no one can speak),
every removal leaves a notice, and mere suspicion leaves a notice alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, compress, groupby
from typing import Final

from erni.model import Coverage, Gap, Notice, Plan, Seam, Span, Word
from erni.packing import PackedWords, pack_words
from erni.seams import normalise
from erni.spans import unite_spans

_NEAR_SPEECH_S: Final = 0.5
"""Voice activity detection may miss this much at the edges of speech."""
_BREAK_S: Final = 0.3
"""Words closer than this hang together: recognisers push the last word of a phrase out into the pause."""
_LONGEST_PHRASE: Final = 8
_LOOP_TIMES: Final = 5
"""A phrase repeated at least this often without a break may be a loop ..."""
_LOOP_LETTERS_PER_S: Final = 40.0
_LOOP_WORDS_PER_S: Final = 10.0
"""... and is one when faster than this; the fastest talkers reach some 25 letters and 7 words a second."""
_SUSPECT_TIMES: Final = 10
"""Repeated at least this often at a pace that can be spoken, a phrase stays, with a notice."""
_LOST_SPEECH_S: Final = 4.0
"""Speech without a word for this long is worth a notice."""
_SPEECH_PAUSE_S: Final = 1.0
"""Speech that pauses for less than this counts as one stretch."""
_LONGEST_WORD_S: Final = 2.0
"""A word does not account for more speech than this, however far it was stretched."""


@dataclass(frozen=True, slots=True)
class _Repetition:
    """``times`` utterances in a row of a phrase of ``size`` words, from word ``first`` on."""

    first: int
    size: int
    times: int

    @property
    def behind(self) -> int:
        return self.first + self.size * self.times


def drop_invented(words: Sequence[Word], speech: Sequence[Span]) -> tuple[PackedWords, tuple[Notice, ...]]:
    """Drop phrases none of whose words comes near ``speech`` (sorted, disjoint); one notice per place."""
    is_kept = bytearray()
    notices: list[Notice] = []
    starts = [span.start_s for span in speech]
    phrases = _split_at_breaks(words)
    for is_spoken, group in groupby(phrases, lambda phrase: _is_spoken(phrase, speech, starts)):
        if is_spoken:
            is_kept += b"\x01" * sum(map(len, group))
        else:
            together = [*chain.from_iterable(group)]
            is_kept += bytes(len(together))
            span = _span(together)
            message = (
                f"Text on silence was removed: {_count(together)} between "
                f"{span.start_s:.1f} s and {span.end_s:.1f} s, where nobody speaks."
            )
            notices.append(Notice("text_on_silence", message, span))
    return _keep(words, is_kept), tuple(notices)


def drop_loops(words: Sequence[Word]) -> tuple[PackedWords, tuple[Notice, ...]]:
    """Reduce a phrase repeated faster than anyone can speak to its first utterance.

    Repetition that can be spoken ("no no no no", laughter) stays. A notice tells of each removal, and of each
    phrase repeated so often that it may be a loop although its pace is human.
    """
    is_kept = bytearray(b"\x01") * len(words)
    notices: list[Notice] = []
    forms = {text: normalise(text) for text in {word.text for word in words}}
    for found in _find_repetitions([forms[word.text] for word in words]):
        repeated = words[found.first : found.behind]
        if _is_too_fast(repeated):
            surplus = repeated[found.size :]
            is_kept[found.first + found.size : found.behind] = bytes(len(surplus))
            message = (
                f"A repetition was removed: {_count(surplus)}, one phrase {found.times} times "
                f"faster than anyone can speak."
            )
            notices.append(Notice("repetition_removed", message, _span(repeated)))
        elif found.times >= _SUSPECT_TIMES:
            message = f"One phrase is repeated {found.times} times; it may not have been said so often."
            notices.append(Notice("repetition_suspected", message, _span(repeated)))
    return _keep(words, is_kept), tuple(notices)


def _keep(words: Sequence[Word], is_kept: bytearray) -> PackedWords:
    """The words with a 1 at their place in ``is_kept``; nearly always that is all of them."""
    return pack_words(words if all(is_kept) else compress(words, is_kept))


def find_lost_speech(words: Sequence[Word], speech: Sequence[Span], gaps: Sequence[Gap]) -> tuple[Notice, ...]:
    """Notices for long stretches of ``speech`` without a word outside the gaps, or for there being no speech
    at all.
    """
    if not speech:
        return (Notice("no_speech", "No speech was found in this recording."),)
    written = (Span(word.start_s, min(word.end_s, word.start_s + _LONGEST_WORD_S)) for word in words)
    missing = sorted((gap.span for gap in gaps), key=_start_s)
    # A hole too short for a notice need not be known; thus what is written is a few spans, not one for each word.
    accounted = unite_spans(merge(written, missing, key=_start_s), pause_s=_LOST_SPEECH_S)
    stretches = _subtract(unite_spans(speech, pause_s=_SPEECH_PAUSE_S), accounted)
    return tuple(
        Notice(
            "speech_without_words",
            f"Between {span.start_s:.1f} s and {span.end_s:.1f} s somebody seems to speak, "
            f"but no words were recognised.",
            span,
        )
        for span in stretches
        if span.duration_s >= _LOST_SPEECH_S
    )


def measure_coverage(plan: Plan, words: Sequence[Word], gaps: Sequence[Gap], seams: Sequence[Seam]) -> Coverage:
    """How much of the speech was transcribed: all of it but what lies in the gaps."""
    covered = _subtract(plan.speech, unite_spans(sorted((gap.span for gap in gaps), key=_start_s)))
    return Coverage(
        duration_s=plan.duration_s,
        speech_s=plan.speech_s,
        covered_speech_s=sum(span.duration_s for span in covered),
        word_count=len(words),
        gaps=tuple(gaps),
        seams=tuple(seams),
    )


def _split_at_breaks(words: Iterable[Word]) -> Iterator[Sequence[Word]]:
    """Words that hang together, phrase by phrase."""
    phrase: list[Word] = []
    for word in words:
        if phrase and word.start_s - phrase[-1].end_s >= _BREAK_S:
            yield phrase
            phrase = []
        phrase.append(word)
    if phrase:
        yield phrase


def _is_spoken(phrase: Sequence[Word], speech: Sequence[Span], starts: Sequence[float]) -> bool:
    """Whether any word of the phrase comes near speech."""
    for word in phrase:
        at = bisect_left(starts, word.end_s + _NEAR_SPEECH_S)
        if at and speech[at - 1].end_s > word.start_s - _NEAR_SPEECH_S:
            return True
    return False


def _find_repetitions(texts: Sequence[str]) -> Iterator[_Repetition]:
    """Phrases repeated without a break, in order, not touching each other; of two that do, the earlier one
    counts, and of two beginning together the one with the shorter phrase ("no no" is "no" twice).
    """
    found: list[_Repetition] = []
    for size in range(1, _LONGEST_PHRASE + 1):
        run = 0
        for index in range(size, len(texts) + 1):
            if index < len(texts) and texts[index] == texts[index - size]:
                run += 1
                continue
            times = run // size + 1
            if times >= _LOOP_TIMES:
                found.append(_Repetition(index - run - size, size, times))
            run = 0
    behind = 0
    for repetition in sorted(found, key=lambda found: (found.first, found.size)):
        if repetition.first >= behind:
            yield repetition
            behind = repetition.behind


def _is_too_fast(words: Sequence[Word]) -> bool:
    letters = sum(len(normalise(word.text)) for word in words)
    spoken_s = sum(word.end_s - word.start_s for word in words)
    return letters > spoken_s * _LOOP_LETTERS_PER_S or len(words) > spoken_s * _LOOP_WORDS_PER_S


def _subtract(spans: Sequence[Span], taken: Sequence[Span]) -> Iterator[Span]:
    """What is left of ``spans`` outside ``taken``; both sorted and disjoint."""
    ends = [span.end_s for span in taken]
    for span in spans:
        start_s = span.start_s
        for index in range(bisect_left(ends, span.start_s), len(taken)):
            hole = taken[index]
            if hole.start_s >= span.end_s:
                break
            if hole.start_s > start_s:
                yield Span(start_s, hole.start_s)
            start_s = max(start_s, hole.end_s)
        if start_s < span.end_s:
            yield Span(start_s, span.end_s)


def _start_s(span: Span) -> float:
    return span.start_s


def _span(words: Sequence[Word]) -> Span:
    return Span(words[0].start_s, max(word.end_s for word in words))


def _count(words: Sequence[Word]) -> str:
    return "1 word" if len(words) == 1 else f"{len(words)} words"
