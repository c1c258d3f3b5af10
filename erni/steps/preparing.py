"""Preparing a job: one decoding pass to canonical audio, speech found on the way, cuts planned, chunks written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from erni import blob_paths, codec
from erni.chunking import ChunkLimits, plan_chunks
from erni.errors import InputError
from erni.jobs import Job, JobStatus, StepKind
from erni.media.audio import cut_chunk
from erni.media.vad import SpeechDetector
from erni.model import MediaInfo, Notice, Plan
from erni.ports import TranscriberCapabilities
from erni.services import Services
from erni.steps.running import check_deliveries, make_checkpoint, run_step, wanted_job

log = structlog.get_logger(__name__)


def prepare_job(services: Services, job_id: str) -> None:
    """Decode, find speech, plan and cut; then send the chord.

    Raises:
        InputError: the upload cannot be used; the job must fail with this message.
        StorageError, QueueUnavailable: to be tried again.
    """
    job = wanted_job(services, job_id)
    if job is None or job.status in (JobStatus.PROCESSING, JobStatus.JOINING):
        return
    services.jobs.advance(job_id, JobStatus.PREPARING, {"started_at": services.clock()})
    if services.blobs.exists(blob_paths.plan(job_id)):
        plan = codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job_id)))
    else:
        plan = _prepare(services, job)
    diarize = job.options.diarizer is not None and bool(plan.chunks)
    services.queue.send_fan_out(job_id, [chunk.index for chunk in plan.chunks], diarize=diarize)
    services.jobs.advance(job_id, JobStatus.PROCESSING, {"processing_at": services.clock()})


def _prepare(services: Services, job: Job) -> Plan:
    with run_step(services, job.job_id, StepKind.PREPARE) as run, work_dir(services) as directory:
        check_deliveries(services, run)
        audio = directory / "audio.flac"
        info, plan = _decode_and_plan(services, job, audio)
        _store_chunks(services, job.job_id, plan, audio)
        services.blobs.put_file(blob_paths.canonical_audio(job.job_id), audio)
        # Last, because a plan says that everything it speaks of is there.
        services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(plan))
    services.jobs.update(
        job.job_id,
        {
            "duration_s": plan.duration_s,
            "speech_s": round(plan.speech_s, 3),
            "chunks_total": len(plan.chunks),
            "warnings": _media_notices(info),
        },
    )
    log.info("job_prepared", duration_s=plan.duration_s, speech_s=round(plan.speech_s, 1), chunks=len(plan.chunks))
    return plan


def _decode_and_plan(services: Services, job: Job, audio: Path) -> tuple[MediaInfo, Plan]:
    detector = SpeechDetector()
    checkpoint = make_checkpoint(services, job.job_id)
    with services.blobs.local_copy(blob_paths.source(job.job_id)) as source:
        info = services.decoder.decode(source, audio, detector.feed, checkpoint)
    transcriber = services.transcribers.get(job.options.engine)
    if transcriber is None:
        raise InputError(f"Engine {job.options.engine!r} is not set up on the workers.", field="engine")
    capabilities = transcriber.capabilities
    limits = fit_limits(services.limits.chunks, capabilities)
    return info, plan_chunks(info.duration_s, detector.finish(), limits, capabilities.audio_format)


def fit_limits(limits: ChunkLimits, capabilities: TranscriberCapabilities) -> ChunkLimits:
    """The configured chunk lengths, within what the engine takes."""
    max_s = min(limits.max_s, capabilities.max_chunk_s or limits.max_s)
    target_s = min(capabilities.target_chunk_s or limits.target_s, max_s)
    return replace(limits, max_s=max_s, target_s=target_s)


def _store_chunks(services: Services, job_id: str, plan: Plan, audio: Path) -> None:
    checkpoint = make_checkpoint(services, job_id)
    for chunk in plan.chunks:
        checkpoint()
        piece = audio.with_name(f"chunk.{plan.audio_format}")
        cut_chunk(audio, chunk.audio, piece, plan.audio_format, ffmpeg=services.decoder.program)
        services.blobs.put_file(blob_paths.chunk_audio(job_id, chunk.index, plan.audio_format), piece)


def _media_notices(info: MediaInfo) -> tuple[Notice, ...]:
    if not info.truncated:
        return ()
    return (
        Notice(
            "media_truncated",
            f"The file is damaged or incomplete: only its first {info.duration_s:.1f} s could be decoded.",
        ),
    )


@contextmanager
def work_dir(services: Services) -> Iterator[Path]:
    """A directory for this run, gone afterwards; what a killed process leaves is cleaned by schedule."""
    services.temporary_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=services.temporary_dir, prefix="work-") as directory:
        yield Path(directory)
