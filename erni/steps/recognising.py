"""The two steps beside each other: transcribing one chunk and diarizing the whole. They answer, they never raise
for good: what cannot be done becomes a recorded gap.

Either holds the flight of its stage key while it looks for an earlier result and, without one, asks the engine: of
equal pieces of work, of one job or of several, one pays. A result is put into the cache before it becomes a blob, so
that a full disk does not cost a second payment either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import structlog

from erni import blob_paths, codec
from erni.errors import EngineRejected, JobStopped
from erni.jobs import Job, Piece, StepKind
from erni.media.audio import cut_chunk
from erni.model import Chunk, Plan, Recognition
from erni.ports import DiarizationRequest, Diarizer, TranscriberCapabilities, TranscriptionRequest
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.pieces import DIARIZATION, load_plan, result_path, settle
from erni.steps.reusing import find_diarization, find_recognition, keep_result, price, stage_keys
from erni.steps.running import StepFailed, StepRun, give_up_engine, make_checkpoint, run_step, wanted_job, work_dir

log = structlog.get_logger(__name__)

PieceStatus = Literal["ok", "gap", "cancelled"]
"""What a chord's member answers: small, and the same for every kind of member."""


@dataclass(frozen=True, slots=True)
class _ChunkWork:
    """A chunk to transcribe, and what it takes."""

    job: Job
    plan: Plan
    chunk: Chunk

    @property
    def piece(self) -> Piece:
        return Piece(StepKind.TRANSCRIBE, self.chunk.index)


def transcribe_chunk(services: Services, job_id: str, index: int) -> PieceStatus:
    """Transcribe one chunk into its result blob, unless that is done already or given up.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    piece = Piece(StepKind.TRANSCRIBE, index)
    job = wanted_job(services, job_id)
    if job is None:
        return "cancelled"
    if (known := _known_status(services, job_id, piece)) is not None:
        return known
    plan = load_plan(services, job_id)
    work = _ChunkWork(job, plan, plan.chunks[index])
    try:
        with services.flights.hold(_chunk_key(services, work, job.options.engine).own):
            # Asked again, because whoever held the flight before us may have left the result.
            if _known_status(services, job_id, piece) is None:
                with run_step(services, job_id, piece, engines=job.options.engines) as run:
                    _transcribe(services, work, run)
    except JobStopped:
        return "cancelled"
    except StepFailed as failed:
        log.warning("chunk_failed", chunk=index, code=failed.cause.code)
        return "gap"
    _forget_if_deleted(services, job_id)
    return "ok"


def next_chunk(services: Services, job_id: str, index: int, stride: int) -> int | None:
    """The chunk with which a lane goes on after ``index``, or ``None`` when it has come to its end."""
    job = wanted_job(services, job_id)
    if job is None:
        return None
    for following in range(index + stride, job.chunks_total or 0, stride):
        if _known_status(services, job_id, Piece(StepKind.TRANSCRIBE, following)) is None:
            return following
    return None


def diarize_job(services: Services, job_id: str) -> PieceStatus:
    """Find who speaks when, into the turns blob, unless that is done already or given up.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    job = wanted_job(services, job_id)
    if job is None:
        return "cancelled"
    if (known := _known_status(services, job_id, DIARIZATION)) is not None:
        return known
    plan = load_plan(services, job_id)
    diarizer = services.diarizers.get(job.options.diarizer or "")
    if diarizer is None:
        give_up_piece(services, job_id, DIARIZATION, f"Diarizer {job.options.diarizer!r} is not set up on this worker.")
        return "gap"
    key = stage_keys(services, job).diarize(plan, diarizer.capabilities)
    try:
        with services.flights.hold(key.own):
            if _known_status(services, job_id, DIARIZATION) is None:
                with run_step(services, job_id, DIARIZATION, engines=(diarizer.capabilities.engine,)) as run:
                    _diarize(services, job, plan, diarizer, run)
    except JobStopped:
        return "cancelled"
    except StepFailed as failed:
        log.warning("diarization_failed", code=failed.cause.code)
        return "gap"
    _forget_if_deleted(services, job_id)
    return "ok"


def give_up_piece(services: Services, job_id: str, piece: Piece, reason: str) -> None:
    """Record that a piece of work failed for good, for a reason found outside the step (a bug, a missing engine)."""
    step = services.jobs.begin_step(job_id, piece)
    services.jobs.finish_step(replace(step, status="failed", finished_at=services.clock(), reason=reason))


def give_up_hung_engine(services: Services, job_id: str, piece: Piece, reason: str) -> bool:
    """Record that the engine at this piece did not answer in time; returns whether another one takes over."""
    job = wanted_job(services, job_id)
    step = services.jobs.find_step(job_id, piece)
    if job is None or step is None or step.is_over:
        return False
    engines = job.options.engines if piece.kind is StepKind.TRANSCRIBE else ()
    return give_up_engine(services, step, reason, engines)


def _known_status(services: Services, job_id: str, piece: Piece) -> PieceStatus | None:
    """How a piece ended before; ``None`` while it is to be done. Its result counts more than its record."""
    step = services.jobs.find_step(job_id, piece)
    if step is None:
        return None
    if services.blobs.exists(result_path(job_id, piece)):
        settle(services, step)
        return "ok"
    if not step.is_over:
        return None
    if step.status != "ok":
        return "gap"
    log.warning("result_vanished", step=piece.kind, part=piece.part)
    services.jobs.forget_steps(job_id, [piece])
    return None


def _transcribe(services: Services, work: _ChunkWork, run: StepRun) -> None:
    engine = run.step.engine or work.job.options.engine
    key = _chunk_key(services, work, engine)
    usd = price(_capabilities(services, engine).usd_per_minute, work.chunk.audio.duration_s)
    found = find_recognition(services, work.job, key, usd)
    if found is not None:
        recognition, run.savings = found
    else:
        recognition = _ask_transcriber(services, work, engine, key)
        run.engine_s = recognition.engine_s
    content = codec.dump_recognition(recognition)
    if found is None:
        keep_result(services, work.job, key, content, audio_s=work.chunk.audio.duration_s)
    services.blobs.put_bytes(result_path(work.job.job_id, work.piece), content)
    log.info(
        "chunk_transcribed",
        chunk=work.chunk.index,
        engine=engine,
        reused=found is not None,
        audio_s=round(work.chunk.audio.duration_s, 2),
        engine_s=round(recognition.engine_s, 3),
        words=len(recognition.words),
    )


def _ask_transcriber(services: Services, work: _ChunkWork, engine: str, key: StageKey) -> Recognition:
    transcriber = services.transcribers.get(engine)
    if transcriber is None:
        raise EngineRejected(f"Engine {engine!r} is not set up on this worker.")
    options = work.job.options
    with _chunk_audio(services, work) as audio:
        return transcriber.transcribe(
            TranscriptionRequest(
                audio=audio,
                duration_s=work.chunk.audio.duration_s,
                language=options.language,
                prompt=options.prompt,
                checkpoint=make_checkpoint(services, work.job.job_id),
                key=key.own,
            )
        )


@contextmanager
def _chunk_audio(services: Services, work: _ChunkWork) -> Iterator[Path]:
    """The chunk's file; cut anew where it is not (or no longer) there.

    Raises BlobNotFound when the recording it is cut from is gone as well.
    """
    job_id, audio_format = work.job.job_id, work.plan.audio_format
    path = blob_paths.chunk_audio(job_id, work.chunk.index, audio_format)
    if services.blobs.exists(path):
        with services.blobs.local_copy(path) as audio:
            yield audio
        return
    with work_dir(services) as directory, services.blobs.local_copy(blob_paths.canonical_audio(job_id)) as whole:
        cut = directory / f"chunk.{audio_format}"
        cut_chunk(whole, work.chunk.audio, cut, audio_format, ffmpeg=services.decoder.program)
        yield cut


def _chunk_key(services: Services, work: _ChunkWork, engine: str) -> StageKey:
    return stage_keys(services, work.job).transcribe(work.chunk, _capabilities(services, engine))


def _capabilities(services: Services, engine: str) -> TranscriberCapabilities:
    """Of an engine that is not set up on this worker only the name is known."""
    transcriber = services.transcribers.get(engine)
    return transcriber.capabilities if transcriber else TranscriberCapabilities(engine, "", languages=None)


def _diarize(services: Services, job: Job, plan: Plan, diarizer: Diarizer, run: StepRun) -> None:
    capabilities = diarizer.capabilities
    key = stage_keys(services, job).diarize(plan, capabilities)
    found = find_diarization(services, job, key, price(capabilities.usd_per_minute, plan.duration_s))
    if found is not None:
        diarization, run.savings = found
    else:
        with services.blobs.local_copy(blob_paths.canonical_audio(job.job_id)) as audio:
            diarization = diarizer.diarize(
                DiarizationRequest(
                    audio=audio,
                    speech=plan.speech,
                    num_speakers=job.options.num_speakers,
                    min_speakers=job.options.min_speakers,
                    max_speakers=job.options.max_speakers,
                    checkpoint=make_checkpoint(services, job.job_id),
                    key=key.own,
                )
            )
        run.engine_s = diarization.engine_s
    content = codec.dump_diarization(diarization)
    if found is None:
        keep_result(services, job, key, content, audio_s=plan.duration_s)
    services.blobs.put_bytes(blob_paths.turns(job.job_id), content)
    log.info(
        "job_diarized",
        reused=found is not None,
        speakers=len({turn.speaker for turn in diarization.turns}),
        turns=len(diarization.turns),
        engine_s=round(diarization.engine_s, 3),
    )


def _forget_if_deleted(services: Services, job_id: str) -> None:
    """A job deleted while its step worked must not leave the result behind."""
    if job_id not in services.jobs.existing([job_id]):
        services.blobs.delete_tree(blob_paths.job_root(job_id))
        services.cache.delete_job(job_id)
