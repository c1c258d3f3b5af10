"""Having one engine find words and speakers of a whole recording in one go; and cutting the recording after all where
that engine cannot.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from erni import blob_paths, codec
from erni.chunking import plan_chunks
from erni.engine_ports import OneShotEngine, OneShotRequest
from erni.errors import WorkPostponed
from erni.jobs import Job, Step
from erni.model import Notice, OneShotAnswer, Plan
from erni.services import Services
from erni.steps.awaiting import RemoteWork, answer_or_wait, spared_usd
from erni.steps.paying import settle_call
from erni.steps.pieces import ONE_SHOT, result_path
from erni.steps.reusing import chunk_limits, find_one_shot, keep_result, stage_keys
from erni.steps.running import StepRun, make_checkpoint, wanted_job
from erni.steps.stopping import stop_remote_jobs
from erni.steps.working import PieceStatus, PieceWork, do_piece, find_work, give_up_piece

log = structlog.get_logger(__name__)

ONE_SHOT_FAILED = "one_shot_failed"


def listen_in_one_shot(services: Services, job_id: str) -> PieceStatus:
    """Leave words and turns of the whole recording in their blobs, unless that is done already or given up.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be looked at again.
        ErniError: records, blobs or Redis are away.
    """
    work = find_work(services, job_id, ONE_SHOT)
    if not isinstance(work, PieceWork):
        return work
    name = work.job.options.engine
    engine = services.one_shots.get(name)
    if engine is None:
        give_up_piece(services, job_id, work.piece, f"Engine {name!r} is not set up on this worker.")
        return "gap"
    key = stage_keys(services, work.job).one_shot(work.plan, engine.capabilities)
    return do_piece(services, work, key, (name,), lambda run: _listen(services, work, engine, run))


def _listen(services: Services, work: PieceWork, engine: OneShotEngine, run: StepRun) -> None:
    job, plan = work.job, work.plan
    key = stage_keys(services, job).one_shot(plan, engine.capabilities)
    found = find_one_shot(services, job, key, spared_usd(run, engine.capabilities, plan.duration_s))
    if found is not None and run.step.remote_id is not None:
        answer, _ = found
        settle_call(services, job, run.step, engine.capabilities, answer.bill)
        run.engine_s = answer.recognition.engine_s
    elif found is not None:
        answer, run.savings = found
    else:
        remote = RemoteWork(
            engine,
            lambda callback: _submit(services, work, engine, callback),
            engine.capabilities,
            key,
            plan.duration_s,
            has_next=bool(job.options.engines),
        )
        answer = _answer_or_wait(services, work, run, remote)
        run.engine_s = answer.recognition.engine_s
        keep_result(services, job, key, codec.dump_one_shot(answer), audio_s=plan.duration_s)
    _store(services, work, answer)
    log.info("one_shot_done", reused=found is not None, words=len(answer.recognition.words))


def _answer_or_wait(
    services: Services, work: PieceWork, run: StepRun, remote: RemoteWork[OneShotAnswer]
) -> OneShotAnswer:
    """As ``answer_or_wait``. Who cancels the job while it is being submitted cannot know yet what there is to stop."""
    try:
        return answer_or_wait(services, work, run, remote)
    except WorkPostponed:
        if wanted_job(services, work.job.job_id) is None:
            stop_remote_jobs(services, work.job, [run.step])
        raise


def _submit(services: Services, work: PieceWork, engine: OneShotEngine, callback_url: str | None) -> str:
    job = work.job
    with services.blobs.local_copy(blob_paths.canonical_audio(job.job_id)) as audio:
        request = OneShotRequest(
            audio=audio,
            duration_s=work.plan.duration_s,
            language=job.options.language,
            prompt=job.options.prompt,
            num_speakers=job.options.num_speakers,
            checkpoint=make_checkpoint(services, job.job_id),
            key=stage_keys(services, job).one_shot(work.plan, engine.capabilities).own,
        )
        return engine.submit(request, callback_url)


def _store(services: Services, work: PieceWork, answer: OneShotAnswer) -> None:
    """Words last: where they are the piece is done. The chunk begins where its audio does, and so do they."""
    job_id = work.job.job_id
    services.blobs.put_bytes(blob_paths.turns(job_id), codec.dump_diarization(answer.diarization))
    services.blobs.put_bytes(result_path(job_id, ONE_SHOT), codec.dump_recognition(answer.recognition))


def cut_after_all(services: Services, job: Job, plan: Plan, failed: Step) -> Plan:
    """The plan by which the job's other engines do what its one could not; replaces the stored one."""
    reason = f"{failed.engine} could not do it, so it was cut for other engines. {failed.reason or ''}".strip()
    cut = plan_chunks(plan.duration_s, plan.speech, chunk_limits(services, job))
    cut = replace(cut, audio_digest=plan.audio_digest, notices=(*plan.notices, Notice(ONE_SHOT_FAILED, reason)))
    services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(cut))
    services.jobs.update(job.job_id, {"chunks_total": len(cut.chunks)})
    log.warning("one_shot_given_up", chunks=len(cut.chunks))
    return cut
