"""The two steps beside each other: transcribing one chunk and diarizing the whole. They answer, they never raise
for good: what cannot be done becomes a recorded gap.
"""

from __future__ import annotations

from typing import Literal

import structlog

from erni import blob_paths, codec
from erni.errors import EngineRejected, ErniError, JobStopped
from erni.jobs import Job, StepKind
from erni.model import Chunk
from erni.ports import DiarizationRequest, Transcriber, TranscriptionRequest
from erni.services import Services
from erni.steps.running import StepRun, check_deliveries, make_checkpoint, run_step, wanted_job

log = structlog.get_logger(__name__)

PieceStatus = Literal["ok", "gap", "cancelled"]
"""What a chord's member answers: small, and the same for every kind of member."""


def transcribe_chunk(services: Services, job_id: str, index: int) -> PieceStatus:
    """Transcribe one chunk into its result blob.

    Raises:
        ErniError: only retryable ones; the caller decides when to try again.
    """
    job = wanted_job(services, job_id)
    if job is None:
        return "cancelled"
    if services.blobs.exists(blob_paths.chunk_result(job_id, index)):
        return "ok"
    try:
        with run_step(services, job_id, StepKind.TRANSCRIBE, index) as run:
            run.engine = job.options.engine
            check_deliveries(services, run)
            _transcribe(services, job, index, run)
    except JobStopped:
        return "cancelled"
    except ErniError as error:
        if error.retryable:
            raise
        log.warning("chunk_failed", chunk=index, code=error.code)
        return "gap"
    _forget_if_deleted(services, job_id)
    return "ok"


def _transcribe(services: Services, job: Job, index: int, run: StepRun) -> None:
    transcriber = find_transcriber(services, job)
    plan = codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job.job_id)))
    chunk: Chunk = plan.chunks[index]
    with services.blobs.local_copy(blob_paths.chunk_audio(job.job_id, index, plan.audio_format)) as audio:
        recognition = transcriber.transcribe(
            TranscriptionRequest(
                audio=audio,
                duration_s=chunk.audio.duration_s,
                language=job.options.language,
                prompt=job.options.prompt,
                checkpoint=make_checkpoint(services, job.job_id),
            )
        )
    services.blobs.put_bytes(blob_paths.chunk_result(job.job_id, index), codec.dump_recognition(recognition))
    run.engine_s = recognition.engine_s
    log.info(
        "chunk_transcribed",
        chunk=index,
        audio_s=round(chunk.audio.duration_s, 2),
        engine_s=round(recognition.engine_s, 3),
        words=len(recognition.words),
    )


def find_transcriber(services: Services, job: Job) -> Transcriber:
    transcriber = services.transcribers.get(job.options.engine)
    if transcriber is None:
        raise EngineRejected(f"Engine {job.options.engine!r} is not set up on this worker.")
    return transcriber


def diarize_job(services: Services, job_id: str) -> PieceStatus:
    """Find who speaks when, into the turns blob.

    Raises:
        ErniError: only retryable ones.
    """
    job = wanted_job(services, job_id)
    if job is None:
        return "cancelled"
    if services.blobs.exists(blob_paths.turns(job_id)):
        return "ok"
    try:
        with run_step(services, job_id, StepKind.DIARIZE) as run:
            run.engine = job.options.diarizer
            check_deliveries(services, run)
            _diarize(services, job, run)
    except JobStopped:
        return "cancelled"
    except ErniError as error:
        if error.retryable:
            raise
        log.warning("diarization_failed", code=error.code)
        return "gap"
    _forget_if_deleted(services, job_id)
    return "ok"


def _diarize(services: Services, job: Job, run: StepRun) -> None:
    diarizer = services.diarizers.get(job.options.diarizer or "")
    if diarizer is None:
        raise EngineRejected(f"Diarizer {job.options.diarizer!r} is not set up on this worker.")
    plan = codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job.job_id)))
    with services.blobs.local_copy(blob_paths.canonical_audio(job.job_id)) as audio:
        diarization = diarizer.diarize(
            DiarizationRequest(
                audio=audio,
                speech=plan.speech,
                num_speakers=job.options.num_speakers,
                min_speakers=job.options.min_speakers,
                max_speakers=job.options.max_speakers,
                checkpoint=make_checkpoint(services, job.job_id),
            )
        )
    services.blobs.put_bytes(blob_paths.turns(job.job_id), codec.dump_diarization(diarization))
    run.engine_s = diarization.engine_s
    log.info(
        "job_diarized",
        speakers=len({turn.speaker for turn in diarization.turns}),
        turns=len(diarization.turns),
        engine_s=round(diarization.engine_s, 3),
    )


def give_up_piece(services: Services, job_id: str, kind: StepKind, part: int, reason: str) -> None:
    """Record that a piece of work failed for good, for a reason found outside the step (retries spent, a bug)."""
    with run_step(services, job_id, kind, part) as run:
        run.status, run.reason = "failed", reason


def _forget_if_deleted(services: Services, job_id: str) -> None:
    """A job deleted while its step worked must not leave the result behind."""
    if job_id not in services.jobs.existing([job_id]):
        services.blobs.delete_tree(blob_paths.job_root(job_id))
