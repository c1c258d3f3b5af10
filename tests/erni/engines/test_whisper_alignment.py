"""The local recogniser told what was said, with real audio: where it hears the words, and where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from erni.engine_ports import AlignmentRequest
from erni.engines.whisper import WhisperTranscriber
from erni.engines.whisper_alignment import WhisperAligner
from erni.errors import ConfigError, JobStopped
from erni.media.vad import SpeechDetector
from erni.model import SAMPLE_RATE_HZ, Span, Turn, Word

SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"
TURNS = [
    (Turn(turn["start_s"], turn["end_s"], turn["speaker"]), turn["text"].split())
    for turn in json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))["turns"]
]
WORDS = [word for _, words in TURNS for word in words]
TURN_OF_WORD = [turn for turn, words in TURNS for _ in words]


@pytest.fixture(scope="module")
def aligner() -> WhisperAligner:
    return WhisperAligner(WhisperTranscriber())


def ask(
    audio: Path,
    words: Sequence[Word],
    places: Sequence[Span] = (),
    language: str | None = "en",
    checkpoint: Callable[[], None] = lambda: None,
) -> AlignmentRequest:
    samples, _ = soundfile.read(audio, dtype="int16")
    detector = SpeechDetector()
    detector.feed(samples)
    return AlignmentRequest(
        audio, len(samples) / SAMPLE_RATE_HZ, words, places, language, detector.finish(), checkpoint=checkpoint
    )


def untimed(texts: Sequence[str]) -> list[Word]:
    return [Word(text, 0.0, 0.0) for text in texts]


def check_order(asked: Sequence[Word], answered: Sequence[Word], duration_s: float) -> None:
    assert [word.text for word in answered] == [word.text for word in asked]
    assert all(0 <= word.start_s <= word.end_s <= duration_s for word in answered)
    assert all(before.end_s <= after.start_s for before, after in pairwise(answered))


def share_aligned(words: Sequence[Word]) -> float:
    return sum(word.timing == "aligned" for word in words) / len(words)


@pytest.mark.models
def test_words_over_several_windows_are_found_in_the_turns_they_were_said_in(aligner: WhisperAligner) -> None:
    request = ask(SAMPLE, untimed(WORDS))
    assert request.duration_s > 60
    words = aligner.align(request)
    check_order(request.words, words, request.duration_s)
    assert share_aligned(words) > 0.9
    for word, turn in zip(words, TURN_OF_WORD, strict=True):
        assert turn.start_s - 0.2 < word.start_s < word.end_s < turn.end_s + 0.2


@pytest.mark.models
def test_a_passage_the_engine_left_out_does_not_shift_what_comes_after_it(aligner: WhisperAligner) -> None:
    middle = len(WORDS) // 2
    kept = WORDS[: middle - 15] + WORDS[middle + 15 :]
    turns = TURN_OF_WORD[: middle - 15] + TURN_OF_WORD[middle + 15 :]
    words = aligner.align(ask(SAMPLE, untimed(kept)))
    heard = [(word, turn) for word, turn in zip(words, turns, strict=True) if word.timing == "aligned"]
    astray = [word for word, turn in heard if not turn.start_s - 0.5 < word.start_s < turn.end_s + 0.5]
    assert len(heard) > 0.85 * len(kept)
    assert len(astray) <= 0.02 * len(heard)


@pytest.mark.models
def test_words_nobody_said_are_estimated(aligner: WhisperAligner) -> None:
    said_nowhere = "Eichhörnchen klettern flink; Zwetschgenkuchen duftet köstlich, während Großmutter Strümpfe strickt"
    words = aligner.align(ask(SAMPLE, untimed(said_nowhere.split() * 3)))
    assert share_aligned(words) < 0.25


GERMAN = (
    "Also ich finde, wir sollten das morgen noch einmal besprechen, weil es so nicht geht. Gut, dann machen wir das"
)


@pytest.mark.models
@pytest.mark.parametrize("text", [GERMAN, GERMAN.casefold(), "Все люди рождаются свободными и равными"])
def test_text_in_a_language_the_model_does_not_know_is_estimated_although_nobody_named_it(
    aligner: WhisperAligner, text: str
) -> None:
    request = ask(SAMPLE, untimed(text.split() * 4), language=None)
    words = aligner.align(request)
    check_order(request.words, words, request.duration_s)
    assert share_aligned(words) == 0


@pytest.mark.models
@pytest.mark.parametrize("wrong", [1, 4])
def test_english_that_nobody_named_is_aligned_although_some_of_it_is_wrong(aligner: WhisperAligner, wrong: int) -> None:
    """Every fourth word, or none, is another one."""
    texts = ["Zwetschge" if wrong > 1 and number % wrong == 0 else word for number, word in enumerate(WORDS)]
    named = aligner.align(ask(SAMPLE, untimed(texts)))
    assert aligner.align(ask(SAMPLE, untimed(texts), language=None)) == named
    assert share_aligned(named) > 0.5


@pytest.mark.models
def test_words_stay_near_rough_times(aligner: WhisperAligner) -> None:
    exact = aligner.align(ask(SAMPLE, untimed(WORDS)))
    rough = [Word(word.text, max(0.0, word.start_s - 0.8), max(0.0, word.end_s - 0.8)) for word in exact]
    words = aligner.align(ask(SAMPLE, rough, [Span(word.start_s, word.end_s) for word in rough]))
    off = [abs(word.start_s - known.start_s) for word, known in zip(words, exact, strict=True)]
    assert np.percentile(off, 90) < 0.1
    assert max(abs(word.start_s - near.start_s) for word, near in zip(words, rough, strict=True)) < 2.0


@pytest.mark.models
def test_words_in_segments_are_found_as_well_as_without_them(aligner: WhisperAligner) -> None:
    """Segments of whole turns, a second off: long ones, with pauses in them and over the windows' borders."""
    segments = [Span(max(0.0, turn.start_s - 0.8), turn.end_s + 0.8) for turn in TURN_OF_WORD]
    plain = aligner.align(ask(SAMPLE, untimed(WORDS)))
    words = aligner.align(ask(SAMPLE, untimed(WORDS), segments))
    check_order(words, words, ask(SAMPLE, ()).duration_s)
    assert share_aligned(words) >= share_aligned(plain) - 0.01
    off = [abs(word.start_s - known.start_s) for word, known in zip(words, plain, strict=True)]
    assert np.percentile(off, 95) < 0.1


@pytest.mark.models
def test_more_words_than_the_decoder_can_read_keep_their_order(aligner: WhisperAligner, tmp_path: Path) -> None:
    short = tmp_path / "short.flac"
    soundfile.write(short, soundfile.read(SAMPLE, stop=SAMPLE_RATE_HZ)[0], SAMPLE_RATE_HZ)
    request = ask(short, untimed(WORDS * 4))
    check_order(request.words, aligner.align(request), request.duration_s)


@pytest.mark.models
@pytest.mark.parametrize("duration_s", [0.02, 0.3, 40.0])
def test_words_over_silence_get_times_within_it(aligner: WhisperAligner, tmp_path: Path, duration_s: float) -> None:
    silence = tmp_path / "silence.flac"
    soundfile.write(silence, np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.int16), SAMPLE_RATE_HZ)
    request = ask(silence, untimed(["Nobody", "said", "this."]))
    check_order(request.words, aligner.align(request), request.duration_s)


@pytest.mark.models
def test_a_stopped_job_stops_between_two_windows(aligner: WhisperAligner) -> None:
    calls = 0

    def stop_at_third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise JobStopped("cancelled")

    with pytest.raises(JobStopped):
        aligner.align(ask(SAMPLE, untimed(WORDS), checkpoint=stop_at_third))


def test_a_language_the_model_does_not_know_is_estimated_without_it(tmp_path: Path) -> None:
    missing = WhisperAligner(WhisperTranscriber("missing.en"))
    words = missing.align(ask(SAMPLE, untimed(["Guten", "Morgen"]), language="de"))
    assert [word.timing for word in words] == ["estimated", "estimated"]
    with pytest.raises(ConfigError):
        WhisperAligner(WhisperTranscriber(str(tmp_path))).align(ask(SAMPLE, untimed(["Good"])))


def test_no_words_need_no_model() -> None:
    assert WhisperAligner(WhisperTranscriber("missing.en")).align(ask(SAMPLE, ())) == ()


@pytest.mark.models
def test_aligning_uses_the_model_the_transcriber_loaded(aligner: WhisperAligner) -> None:
    loaded = aligner.transcriber.loaded_model()
    aligner.align(ask(SAMPLE, untimed(WORDS[:5])))
    assert aligner.transcriber.loaded_model() is loaded


def test_the_fingerprint_tells_models_apart() -> None:
    fingerprints = {WhisperAligner(WhisperTranscriber(model)).fingerprint for model in (None, "small", "small.en")}
    assert len(fingerprints) == 3
