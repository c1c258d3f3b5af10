"""Words of engines that give none get times: from the aligner, or by guessing. Neither costs words or money."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from erni import blob_paths, codec
from erni.catalogue import load_catalogue
from erni.engine_ports import Aligner, AlignmentRequest
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_transcriber import openai_transcribers
from erni.engines.scripted import ScriptedAligner
from erni.engines.uploads import Uploads
from erni.engines.whisper import WhisperTranscriber
from erni.engines.whisper_alignment import WhisperAligner
from erni.errors import ConfigError, EngineRejected, EngineUnavailable, ErniError
from erni.jobs import Job, JobStatus
from erni.model import Transcript, Word
from erni.services import Services
from erni.steps.finishing import answer_from_cache, finish_job
from erni.steps.pieces import load_plan
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from vendors.listening import ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.server import serve

Submit = Callable[..., Job]

ENGINE = "openai/gpt-transcribe"
NEXT_ENGINE = "openai/gpt-4o-transcribe"
IN_SEGMENTS = "openai/gpt-4o-transcribe-diarize"


@pytest.fixture
def vendor() -> OpenAIVendor:
    return OpenAIVendor(ScriptedListening())


@pytest.fixture
def remote(services: Services, vendor: OpenAIVendor) -> Iterator[Services]:
    """Services with OpenAI's engines and no aligner."""
    with serve(vendor.app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY, timeout_s=5.0)
        engines = openai_transcribers(connection, load_catalogue(None, 1.16), Uploads())
        yield replace(services, transcribers={**services.transcribers, **engines})


@dataclass
class Moods:
    """What an aligner does: puts a word every tenth of a second, unless it is to raise ``error``. Notes its calls."""

    error: ErniError | None = None
    calls: list[AlignmentRequest] = field(default_factory=list)

    def __call__(self, request: AlignmentRequest) -> tuple[Word, ...]:
        self.calls.append(request)
        if self.error is not None:
            raise self.error
        return tuple(
            replace(word, start_s=number / 10, end_s=number / 10 + 0.05, timing="aligned")
            for number, word in enumerate(request.words)
        )


def finish(services: Services, submit: Submit, **options: object) -> tuple[Job, Transcript]:
    """A job from its submission to its transcript."""
    job = submit(**{"engine": ENGINE, "fallback": (NEXT_ENGINE,), "diarizer": None, **options})
    prepare_job(services, job.job_id)
    for chunk in load_plan(services, job.job_id).chunks:
        transcribe_chunk(services, job.job_id, chunk.index)
    finish_job(services, job.job_id)
    transcript = codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))
    return services.jobs.get(job.job_id), transcript


def timings(transcript: Transcript) -> set[str]:
    return {word.timing for word in transcript.words}


def codes(transcript: Transcript) -> set[str]:
    return {notice.code for notice in transcript.warnings}


def test_words_without_times_get_some_inside_the_speech(remote: Services, submit: Submit) -> None:
    _, transcript = finish(remote, submit)
    assert timings(transcript) == {"estimated"}
    assert all(earlier.start_s <= later.start_s for earlier, later in pairwise(transcript.words))
    assert "words_not_aligned" not in codes(transcript)


def no_such_model(tmp_path: Path) -> Aligner:
    return WhisperAligner(WhisperTranscriber(str(tmp_path)))


@pytest.mark.parametrize(
    "make_aligner",
    [
        no_such_model,
        lambda _: ScriptedAligner(Moods(ConfigError("The bundled model is not installed."))),
        lambda _: ScriptedAligner(Moods(EngineRejected("The recogniser failed."))),
        lambda _: ScriptedAligner(Moods(EngineUnavailable("The recogniser is not loaded."))),
    ],
    ids=["no model there", "not installed", "fails", "not loaded"],
)
def test_an_aligner_that_cannot_work_costs_no_word_and_no_second_call(
    remote: Services, submit: Submit, vendor: OpenAIVendor, tmp_path: Path, make_aligner: Callable[[Path], Aligner]
) -> None:
    job, transcript = finish(replace(remote, aligner=make_aligner(tmp_path)), submit)
    assert job.status is JobStatus.SUCCEEDED
    assert timings(transcript) == {"estimated"}
    assert {piece.engine for piece in transcript.pieces} == {ENGINE}
    assert len(vendor.faults.billed) == len(transcript.pieces)
    told = [notice.span for notice in transcript.warnings if notice.code == "words_not_aligned"]
    assert len(told) == len(transcript.pieces)
    assert all(span is not None and span.duration_s > 0 for span in told)


def test_what_was_paid_is_kept_and_an_aligner_that_recovers_is_asked_again(
    remote: Services, submit: Submit, vendor: OpenAIVendor
) -> None:
    moods = Moods(EngineRejected("The recogniser failed."))
    aligned = replace(remote, aligner=ScriptedAligner(moods))
    finish(aligned, submit)
    paid, calls = len(vendor.faults.billed), len(moods.calls)
    moods.error = None
    job, transcript = finish(aligned, submit, join="overlap")
    assert job.status is JobStatus.SUCCEEDED
    assert len(vendor.faults.billed) == paid
    assert len(moods.calls) == 2 * calls
    assert timings(transcript) == {"aligned"}
    assert "words_not_aligned" not in codes(transcript)


def test_the_aligner_is_told_what_the_answer_told_of_times_and_no_more(remote: Services, submit: Submit) -> None:
    """Also when the answer comes from the cache."""
    moods = Moods()
    finish(replace(remote, aligner=ScriptedAligner(moods, "one")), submit)
    assert {tuple(call.places) for call in moods.calls} == {()}
    for fingerprint in ("one", "other"):
        moods.calls.clear()
        finish(replace(remote, aligner=ScriptedAligner(moods, fingerprint)), submit, engine=IN_SEGMENTS)
        assert moods.calls
        for call in moods.calls:
            assert len(call.places) == len(call.words)
            assert 1 < len(set(call.places)) < len(call.words)


def test_words_in_segments_are_estimated_inside_them(remote: Services, submit: Submit) -> None:
    job, transcript = finish(remote, submit, engine=IN_SEGMENTS, diarizer=None)
    (first, *_) = load_plan(remote, job.job_id).chunks
    turn = [word for word in transcript.words if first.audio.start_s <= word.start_s < first.audio.start_s + 6.0]
    assert 14 <= len(turn) <= 16


def test_what_an_aligner_found_is_not_looked_for_again(remote: Services, submit: Submit) -> None:
    moods = Moods()
    aligned = replace(remote, aligner=ScriptedAligner(moods))
    finish(aligned, submit)
    calls = len(moods.calls)
    _, transcript = finish(aligned, submit, join="overlap")
    assert len(moods.calls) == calls
    assert timings(transcript) == {"aligned"}


def test_a_whole_answer_with_estimated_times_answers_no_equal_job(remote: Services, submit: Submit) -> None:
    moods = Moods(EngineRejected("The recogniser failed."))
    aligned = replace(remote, aligner=ScriptedAligner(moods))
    finish(aligned, submit)
    assert not answer_from_cache(aligned, submit(engine=ENGINE, fallback=(NEXT_ENGINE,), diarizer=None))
    moods.error = None
    finish(aligned, submit)
    assert answer_from_cache(aligned, submit(engine=ENGINE, fallback=(NEXT_ENGINE,), diarizer=None))
    assert not answer_from_cache(remote, submit(engine=ENGINE, fallback=(NEXT_ENGINE,), diarizer=None))
