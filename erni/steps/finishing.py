"""Finishing a job: the pieces become a transcript, the transcript's gaps decide the final state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound
from erni.jobs import Job, JobFailure, JobStatus, Step, StepKind
from erni.joining import JoinInput, join_transcript
from erni.model import Diarization, EngineUse, Gap, Notice, Plan, Recognition, Transcript
from erni.services import Services
from erni.steps.running import check_deliveries, run_step, wanted_job

log = structlog.get_logger(__name__)


def finish_job(services: Services, job_id: str) -> None:
    """Join what the pieces left behind and move the job to its final state.

    Raises:
        WorkLost: joining ended its worker process several times; the job must fail.
        StorageError: to be tried again.
    """
    job = wanted_job(services, job_id)
    if job is None:
        return
    services.jobs.advance(job_id, JobStatus.JOINING)
    with run_step(services, job_id, StepKind.JOIN) as run:
        check_deliveries(services, run)
        plan = codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job_id)))
        steps = services.jobs.steps(job_id)
        recognitions = _load_recognitions(services, job_id, plan)
        gaps = find_gaps(plan, recognitions, steps)
        if plan.chunks and not recognitions:
            _fail_without_words(services, job_id, gaps)
            return
        transcript = _join(services, job, plan, recognitions, gaps)
        services.blobs.put_bytes(blob_paths.transcript(job_id), codec.dump_transcript(transcript))
    _conclude(services, job, transcript)


def _load_recognitions(services: Services, job_id: str, plan: Plan) -> dict[int, Recognition]:
    found: dict[int, Recognition] = {}
    for chunk in plan.chunks:
        try:
            content = services.blobs.get_bytes(blob_paths.chunk_result(job_id, chunk.index))
        except BlobNotFound:
            continue
        found[chunk.index] = codec.load_recognition(content)
    return found


def find_gaps(plan: Plan, recognitions: Mapping[int, Recognition], steps: Sequence[Step]) -> tuple[Gap, ...]:
    """One gap for each chunk without a result, with the reason its step recorded."""
    by_part = {step.part: step for step in steps if step.kind is StepKind.TRANSCRIBE}
    return tuple(
        Gap(
            span=chunk.own,
            reason=_reason(by_part.get(chunk.index)),
            engines=_engines_tried(by_part.get(chunk.index)),
        )
        for chunk in plan.chunks
        if chunk.index not in recognitions
    )


def _reason(step: Step | None) -> str:
    if step is None:
        return "No worker began this piece."
    return step.reason or "The worker ended without an answer."


def _engines_tried(step: Step | None) -> tuple[str, ...]:
    return (step.engine,) if step and step.engine else ()


def _join(
    services: Services, job: Job, plan: Plan, recognitions: Mapping[int, Recognition], gaps: Sequence[Gap]
) -> Transcript:
    diarization, notices = _load_diarization(services, job, plan)
    return join_transcript(
        JoinInput(
            plan=plan,
            recognitions=recognitions,
            gaps=gaps,
            diarization=diarization,
            strategy=job.options.join,
            notices=(*job.warnings, *notices),
            engines=_engines_used(services, recognitions, diarization),
        )
    )


def _load_diarization(services: Services, job: Job, plan: Plan) -> tuple[Diarization | None, tuple[Notice, ...]]:
    if job.options.diarizer is None or not plan.chunks:
        return None, ()
    try:
        content = services.blobs.get_bytes(blob_paths.turns(job.job_id))
    except BlobNotFound:
        steps = services.jobs.steps(job.job_id)
        step = next((step for step in steps if step.kind is StepKind.DIARIZE), None)
        message = f"Speakers could not be found; the transcript has none. {_reason(step)}"
        return None, (Notice("diarization_failed", message),)
    diarization = codec.load_diarization(content)
    return diarization, _count_notices(job, diarization)


def _count_notices(job: Job, diarization: Diarization) -> tuple[Notice, ...]:
    """Say so where the voices found are not as many as the caller asked for."""
    found = len({turn.speaker for turn in diarization.turns})
    least = job.options.num_speakers or job.options.min_speakers or 0
    if found >= least:
        return ()
    message = (
        f"{least} speakers were asked for, but the recording holds too little speech to tell more than {found} apart."
    )
    return (Notice("speaker_count_not_reached", message),)


def _engines_used(
    services: Services, recognitions: Mapping[int, Recognition], diarization: Diarization | None
) -> tuple[EngineUse, ...]:
    used = []
    for engine, model in sorted({(r.engine, r.model) for r in recognitions.values()}):
        transcriber = services.transcribers.get(engine)
        grade = transcriber.capabilities.grade if transcriber else "production"
        used.append(EngineUse("transcriber", engine, model, grade))
    if diarization:
        used.append(EngineUse("diarizer", diarization.engine, diarization.model))
    return tuple(used)


def _conclude(services: Services, job: Job, transcript: Transcript) -> None:
    status = JobStatus.PARTIAL if transcript.coverage.gaps else JobStatus.SUCCEEDED
    now = services.clock()
    if not services.jobs.advance(job.job_id, status, {"finished_at": now, "warnings": transcript.warnings}):
        return
    elapsed_s = (now - job.created_at).total_seconds()
    services.meter.observe_job(status, transcript.coverage.duration_s, elapsed_s)
    if status is JobStatus.SUCCEEDED:
        # The pieces are only needed to resume; the transcript, the source and the canonical audio stay.
        services.blobs.delete_tree(blob_paths.chunks_root(job.job_id))
    log.info("job_finished", status=status, elapsed_s=round(elapsed_s, 3), words=transcript.coverage.word_count)


def _fail_without_words(services: Services, job_id: str, gaps: Sequence[Gap]) -> None:
    failure = JobFailure("nothing_transcribed", f"No chunk could be transcribed. {gaps[0].reason}")
    moved = services.jobs.advance(job_id, JobStatus.FAILED, {"finished_at": services.clock(), "failure": failure})
    if moved:
        log.warning("job_failed", code=failure.code)
