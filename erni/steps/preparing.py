"""Preparing a job: one decoding pass to canonical audio, speech found on the way, cuts planned, chunks written.

Where an earlier job of the same content left its answer, or its plan and audio, those are used instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from erni import blob_paths, codec
from erni.capabilities import TranscriberCapabilities
from erni.chunking import plan_chunks, plan_one_shot
from erni.errors import BlobNotFound, Interruption
from erni.jobs import Job, JobStatus, Piece, Savings, StepKind
from erni.media.audio import cut_chunk
from erni.media.vad import SpeechDetector
from erni.model import SAMPLE_RATE_HZ, Chunk, MediaInfo, Notice, Plan, Preparation
from erni.services import Services
from erni.steps.admitting import may_start
from erni.steps.finishing import answer_from_cache
from erni.steps.pieces import find_missing, find_results, load_plan, send_pieces, settle, wanted_pieces
from erni.steps.reusing import chunk_limits, find_preparation, keep_result, prepare_key, stage_keys
from erni.steps.running import make_checkpoint, run_step, wanted_job, work_dir

log = structlog.get_logger(__name__)

Samples = npt.NDArray[np.int16]

PREPARATION = Piece(StepKind.PREPARE)
FEWEST_BYTES_PER_S = 1000
"""8 kbit/s: a smaller upload cannot be a long recording, so that its header need not be looked at."""
CUTTING_THREADS = 2
"""Reading and writing FLAC leave the interpreter to others."""


class LongRecording(Interruption):
    """The recording is longer than this worker should decode; the workers for long work take over."""


def prepare_job(services: Services, job_id: str, *, is_long: bool = False) -> None:
    """Decode, find speech, plan and cut; then send the chord. Without ``is_long`` long recordings are passed on.

    Raises:
        StepFailed: the upload cannot be used; the job must fail with this message.
        Interruption: to be tried again.
        StorageError, QueueUnavailable: records, blobs or Redis are away.
    """
    job = wanted_job(services, job_id)
    if job is None:
        return
    is_fanned_out = job.status in (JobStatus.PROCESSING, JobStatus.JOINING)
    if is_fanned_out and services.blobs.exists(blob_paths.plan(job_id)):
        return
    if not may_start(services, job):
        log.info("job_waits_for_its_turn")
        return
    try:
        with services.flights.hold(f"{prepare_key(services, job).own}:prepare"):
            services.jobs.advance(job_id, JobStatus.PREPARING, {"started_at": services.clock()})
            if not answer_from_cache(services, job):
                _fan_out(services, job, _find_or_make_plan(services, job, is_long=is_long))
    except LongRecording:
        log.info("job_passed_to_long_work")
        services.queue.send_prepare(job_id, is_long=True)


def _find_or_make_plan(services: Services, job: Job, *, is_long: bool) -> Plan:
    if services.blobs.exists(blob_paths.plan(job.job_id)):
        if (step := services.jobs.find_step(job.job_id, PREPARATION)) is not None:
            settle(services, step)
        return load_plan(services, job.job_id)
    with run_step(services, job.job_id, PREPARATION) as run:
        plan = _reuse_preparation(services, job)
        if plan is not None:
            run.savings = Savings()
        else:
            plan = _prepare(services, job, longest_s=None if is_long else services.limits.long_s)
        # Last, because a plan says that everything it speaks of is there.
        services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(plan))
    preparation = codec.dump_preparation(Preparation(plan, job.job_id))
    keep_result(services, job, prepare_key(services, job), preparation, audio_s=plan.duration_s)
    return plan


def _reuse_preparation(services: Services, job: Job) -> Plan | None:
    """The plan of an earlier job with the same upload, and its audio; ``None`` unless both are still there."""
    found = find_preparation(services, job, prepare_key(services, job))
    if found is None:
        return None
    audio = blob_paths.canonical_audio(job.job_id)
    if found.job_id != job.job_id:
        try:
            services.blobs.copy(blob_paths.canonical_audio(found.job_id), audio)
        except BlobNotFound:
            return None
    elif not services.blobs.exists(audio):
        return None
    _cut_unknown_chunks(services, job, found.plan)
    log.info("preparation_reused", chunks=len(found.plan.chunks))
    return found.plan


def _cut_unknown_chunks(services: Services, job: Job, plan: Plan) -> None:
    """Cut the chunks that an engine will be asked for."""
    if plan.is_one_shot:
        return
    name = job.options.engines[0]
    transcriber = services.transcribers.get(name)
    capabilities = transcriber.capabilities if transcriber else TranscriberCapabilities(name, "", languages=None)
    keys = stage_keys(services, job)
    unknown = [chunk for chunk in plan.chunks if not services.cache.has(keys.transcribe(chunk, capabilities).own)]
    if unknown:
        with (
            work_dir(services) as directory,
            services.blobs.local_copy(blob_paths.canonical_audio(job.job_id)) as audio,
        ):
            _store_chunks(services, job.job_id, replace(plan, chunks=tuple(unknown)), audio, directory)


def _prepare(services: Services, job: Job, *, longest_s: float | None) -> Plan:
    with work_dir(services) as directory:
        audio = directory / "audio.flac"
        plan = _decode_and_plan(services, job, audio, longest_s)
        if not plan.is_one_shot:
            plan = replace(plan, chunks=_store_chunks(services, job.job_id, plan, audio, directory))
        services.blobs.put_file(blob_paths.canonical_audio(job.job_id), audio)
    log.info("job_prepared", duration_s=plan.duration_s, speech_s=round(plan.speech_s, 1), chunks=len(plan.chunks))
    return plan


def _decode_and_plan(services: Services, job: Job, audio: Path, longest_s: float | None) -> Plan:
    detector = SpeechDetector()
    feed = detector.feed if longest_s is None else _bounded(detector.feed, longest_s)
    checkpoint = make_checkpoint(services, job.job_id)
    with services.blobs.local_copy(blob_paths.source(job.job_id)) as source:
        if longest_s is not None and job.source_bytes >= longest_s * FEWEST_BYTES_PER_S:
            _check_promise(services.decoder.promised_duration_s(source), longest_s)
        info = services.decoder.decode(source, audio, feed, checkpoint)
    speech = detector.finish()
    if job.options.method == "replicate":
        plan = plan_one_shot(info.duration_s, speech)
    else:
        plan = plan_chunks(info.duration_s, speech, chunk_limits(services, job))
    return replace(plan, audio_digest=_digest(audio), notices=_media_notices(info))


def _check_promise(promised_s: float, longest_s: float) -> None:
    """Spares decoding up to the limit where the header tells beforehand. Raises LongRecording."""
    if promised_s > longest_s:
        raise LongRecording("This recording is for the workers for long work.")


def _bounded(feed: Callable[[Samples], None], longest_s: float) -> Callable[[Samples], None]:
    """Passes samples on; raises LongRecording once they are more than ``longest_s``."""
    seen = 0

    def count_and_feed(samples: Samples) -> None:
        nonlocal seen
        seen += len(samples)
        if seen > longest_s * SAMPLE_RATE_HZ:
            raise LongRecording("This recording is for the workers for long work.")
        feed(samples)

    return count_and_feed


def _store_chunks(services: Services, job_id: str, plan: Plan, audio: Path, directory: Path) -> tuple[Chunk, ...]:
    """Cut the plan's chunks into blobs; returns them with the digests of their audio."""
    checkpoint = make_checkpoint(services, job_id)

    def store(chunk: Chunk) -> Chunk:
        checkpoint()
        piece = directory / f"{chunk.index:05d}.{plan.audio_format}"
        cut_chunk(audio, chunk.audio, piece, plan.audio_format, ffmpeg=services.decoder.program)
        cut = replace(chunk, digest=_digest(piece))
        services.blobs.put_file(blob_paths.chunk_audio(job_id, chunk.index, plan.audio_format), piece)
        return cut

    with ThreadPoolExecutor(CUTTING_THREADS) as pool:
        return tuple(pool.map(store, plan.chunks))


def _fan_out(services: Services, job: Job, plan: Plan) -> None:
    """Fan out what has no result yet: everything, unless the job was broken off or is tried again."""
    services.jobs.update(
        job.job_id,
        {
            "duration_s": plan.duration_s,
            "speech_s": round(plan.speech_s, 3),
            "chunks_total": len(plan.chunks),
            "warnings": plan.notices,
        },
    )
    steps = services.jobs.steps(job.job_id)
    missing = find_missing(wanted_pieces(services, job, plan), steps, find_results(services, job, steps))
    send_pieces(services, job, plan, missing)
    services.jobs.advance(job.job_id, JobStatus.PROCESSING, {"processing_at": services.clock()})


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _media_notices(info: MediaInfo) -> tuple[Notice, ...]:
    if not info.truncated:
        return ()
    return (
        Notice(
            "media_truncated",
            f"The file is damaged or incomplete: only its first {info.duration_s:.1f} s could be decoded.",
        ),
    )
