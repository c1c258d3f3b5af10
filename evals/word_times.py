"""How near to the truth are the times that words of text-only engines get: ``python -m evals.word_times DATA``.

The words of a reference, in order of their starts, stand for the text of an engine; they are placed chunk by chunk, as
in a job. ``--wrong`` spoils some, as no text is perfect; ``--segment-words`` makes them segments with times. Needs
recordings with ``words.tsv`` (the times of every word); others below DATA are passed over.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np

from erni.aligning import estimate_times
from erni.chunking import ChunkLimits, plan_chunks
from erni.engine_ports import AlignmentRequest
from erni.engines.whisper import WhisperTranscriber
from erni.engines.whisper_alignment import WhisperAligner
from erni.media.audio import cut_chunk
from erni.media.ffmpeg import Decoder, find_ffmpeg
from erni.media.vad import SpeechDetector
from erni.model import Chunk, Plan, Span, Word, WordTiming
from evals.recordings import Recording, find_recordings

CHUNKS: Final = ChunkLimits(target_s=45.0, max_s=90.0, overlap_s=2.0, min_silence_s=0.2)
"""As in a job with the settings' defaults."""
_LONGEST_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class GivenWord:
    """A word as the engine would write it, and when it was said; ``None`` where nobody said it."""

    text: str
    truth: Span | None


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """How far from its truth a word was placed, in seconds, later is positive; and where its times came from."""

    timing: WordTiming
    error_s: float


def spoil(words: Sequence[GivenWord], share: float, seed: str) -> list[GivenWord]:
    """The words with about ``share`` of them wrong: half replaced, a quarter left out, a quarter with one too many."""
    chance = random.Random(seed)  # noqa: S311  # picks words, keeps no secret
    spoiled: list[GivenWord] = []
    for word in words:
        other, fate = chance.choice(words).text, chance.random() / share if share else 1.0
        if fate >= 1:
            spoiled.append(word)
        elif fate < 0.5:  # noqa: PLR2004  # the shares named above
            spoiled.append(GivenWord(other, word.truth))
        elif fate < 0.75:  # noqa: PLR2004  # as above
            spoiled += [word, GivenWord(other, None)]
    return spoiled


def errors_of(given: Sequence[GivenWord], placed: Sequence[Word]) -> list[PlacedWord]:
    """Starts compared with the truth, for the words that were said."""
    return [
        PlacedWord(word.timing, word.start_s - known.truth.start_s)
        for known, word in zip(given, placed, strict=True)
        if known.truth is not None
    ]


def segments_of(given: Sequence[GivenWord], size: int) -> list[Span]:
    """For each word the times of its segment, from the first start to the last end of ``size`` words; none where nobody
    said any of them.
    """
    places: list[Span] = []
    for group in (given[first : first + size] for first in range(0, len(given), size)):
        said = [word.truth for word in group if word.truth is not None]
        if not said:
            return []
        places += [Span(min(span.start_s for span in said), max(span.end_s for span in said))] * len(group)
    return places


def describe(name: str, words: Sequence[PlacedWord], of: int) -> str:
    """A line of the table: share, median and 90th percentile of the error without sign, median with sign."""
    errors = np.array([word.error_s for word in words])
    if not errors.size:
        return f"{name:<22}{0:>7.1%}"
    median, most = np.percentile(np.abs(errors), [50, 90])
    return f"{name:<22}{len(words) / of:>7.1%}{median:>9.3f}{most:>9.3f}{np.median(errors):>+9.3f}"


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--wrong", type=click.FloatRange(0, 1), default=0.0, help="Share of the words to spoil.")
@click.option("--segment-words", type=click.IntRange(1), help="Words come in segments of so many; else in none.")
@click.option("--model", help="The recogniser's model; else the bundled one.")
def main(data: Path, wrong: float, segment_words: int | None, model: str | None) -> None:
    """Place the words of every recording below DATA that has their times."""
    aligner = WhisperAligner(WhisperTranscriber(model))
    aligner.transcriber.load()
    timed = [recording for recording in find_recordings(data, "en") if recording.reference.has_word_times]
    placed: list[PlacedWord] = []
    guessed: list[PlacedWord] = []
    audio_s = cpu_s = 0.0
    for recording in timed:
        for given, request in _requests(recording, wrong, segment_words):
            started = time.process_time()
            placed += errors_of(given, aligner.align(request))
            cpu_s += time.process_time() - started
            audio_s += request.duration_s
            guess = estimate_times(request.words, request.speech, request.duration_s, request.places)
            guessed += errors_of(given, guess)
    click.echo(f"{'start of words, s':<22}{'share':>7}{'median':>9}{'90 %':>9}{'bias':>9}")
    for timing in ("aligned", "estimated"):
        click.echo(describe(timing, [word for word in placed if word.timing == timing], len(placed)))
    click.echo(describe("all", placed, len(placed)))
    click.echo(describe("all, without a model", guessed, len(guessed)))
    if audio_s:
        click.echo(f"{len(placed)} words; {cpu_s / audio_s:.4f} s of processor per second of audio")


def _requests(
    recording: Recording, wrong: float, segment_words: int | None
) -> Iterator[tuple[list[GivenWord], AlignmentRequest]]:
    """Each chunk of a recording, with the words whose middle lies in its audio."""
    with tempfile.TemporaryDirectory() as folder:
        canonical, piece = Path(folder, "audio.flac"), Path(folder, "chunk.flac")
        plan = _plan(recording.path, canonical)
        for chunk in plan.chunks:
            given = spoil(_words_in(chunk, recording), wrong, f"{recording.name} {chunk.index}")
            cut_chunk(canonical, chunk.audio, piece, "flac")
            yield (
                given,
                AlignmentRequest(
                    audio=piece,
                    duration_s=chunk.audio.duration_s,
                    words=[Word(word.text, 0.0, 0.0) for word in given],
                    places=segments_of(given, segment_words) if segment_words else (),
                    language="en",
                    speech=[_shift(span, chunk) for span in plan.speech if span.overlap_s(chunk.audio)],
                    checkpoint=lambda: None,
                ),
            )


def _plan(recording: Path, canonical: Path) -> Plan:
    detector = SpeechDetector()
    info = Decoder(find_ffmpeg(None), _LONGEST_S, _LONGEST_S).decode(recording, canonical, detector.feed, lambda: None)
    return plan_chunks(info.duration_s, detector.finish(), CHUNKS)


def _words_in(chunk: Chunk, recording: Recording) -> list[GivenWord]:
    return [
        GivenWord(word.text, _shift(word.span, chunk))
        for word in recording.reference.words or ()
        if word.span is not None and chunk.audio.start_s <= word.middle_s < chunk.audio.end_s
    ]


def _shift(span: Span, chunk: Chunk) -> Span:
    """From the recording's clock to the chunk's."""
    return Span(span.start_s - chunk.audio.start_s, span.end_s - chunk.audio.start_s)


if __name__ == "__main__":
    main()
