"""Finishing a job: the pieces become a transcript, the transcript's gaps decide the final state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound, WorkPostponed
from erni.jobs import Job, JobFailure, JobStatus, Piece, Savings, Step, StepKind
from erni.joining import JoinInput, join_transcript
from erni.model import (
    Diarization,
    EngineUse,
    Gap,
    Outcome,
    PieceUse,
    Plan,
    Recognition,
    Transcript,
)
from erni.services import Services
from erni.steps.admitting import start_waiting
from erni.steps.diarizing import tell_voices_apart
from erni.steps.ending import fail_job
from erni.steps.known_voices import Naming, find_names
from erni.steps.one_shot import cut_after_all
from erni.steps.pieces import (
    ONE_SHOT,
    Missing,
    find_missing,
    find_results,
    load_plan,
    send_pieces,
    settle,
    wanted_pieces,
)
from erni.steps.reusing import find_outcome, keep_result, whole_key
from erni.steps.running import run_step, wanted_job, work_dir
from erni.steps.shortfalls import (
    find_gaps,
    has_speakers,
    lacks_times,
    lacks_voices,
    naming_notices,
    piece_of,
    speaker_notices,
)

log = structlog.get_logger(__name__)

JOIN = Piece(StepKind.JOIN)


@dataclass(frozen=True, slots=True)
class _Results:
    """What the pieces of a job left behind."""

    plan: Plan
    steps: Mapping[Piece, Step]
    recognitions: Mapping[int, Recognition]
    diarization: Diarization | None


def finish_job(services: Services, job_id: str) -> None:
    """Join what the pieces left behind and move the job to its final state, unless pieces are still at work.

    Raises:
        StepFailed: it cannot be joined; the job must fail.
        Interruption: to be tried again.
        StorageError, QueueUnavailable: records, blobs or Redis are away.
    """
    job = wanted_job(services, job_id)
    if job is None:
        return
    with services.flights.hold(f"{job_id}:join"):
        joined = services.jobs.find_step(job_id, JOIN)
        if joined is not None and joined.status == "ok":
            # The worker before us wrote the transcript and died before it could say so.
            _conclude(services, job, _load_account(services, job_id))
            return
        plan = load_plan(services, job_id)
        if _find_work_left(services, job, plan):
            # A body sent twice may come while pieces of the other are at work, a vendor's webhook while there are
            # other pieces. Who ends them sends another.
            log.info("join_came_too_early")
            return
        if _send_others_after_one_shot(services, job, plan) or _send_next_diarizer(services, job, plan):
            return
        services.jobs.advance(job_id, JobStatus.JOINING)
        _finish(services, job, _load_results(services, job, plan))


def _send_others_after_one_shot(services: Services, job: Job, plan: Plan) -> bool:
    """Have the job's other engines do, chunk by chunk, what the one for the whole could not; returns whether."""
    failed = services.jobs.find_step(job.job_id, ONE_SHOT) if plan.is_one_shot else None
    if failed is None or failed.status == "ok" or not job.options.engines:
        return False
    cut = cut_after_all(services, job, plan, failed)
    missing = find_missing(wanted_pieces(services, job, cut), services.jobs.steps(job.job_id), ())
    send_pieces(services, job, cut, missing)
    return True


def _send_next_diarizer(services: Services, job: Job, plan: Plan) -> bool:
    """Tell the voices apart; where that is given up have the job's next diarizer do it, and return whether it must."""
    try:
        tell_voices_apart(services, job, plan)
    except WorkPostponed:
        missing = _find_work_left(services, job, plan)
        if not missing:
            # The same diarizer tries again.
            raise
        send_pieces(services, job, plan, missing)
        return True
    return False


def answer_from_cache(services: Services, job: Job) -> bool:
    """Finish the job with the answer of an equal one before it; returns whether there was one.

    Whose voices are known changes from day to day, so a job that looks for them is never answered so.
    """
    if job.options.voiceprints:
        return False
    found = find_outcome(services, job, whole_key(services, job))
    if found is None:
        return False
    outcome, savings = found
    try:
        if outcome.job_id != job.job_id:
            services.blobs.copy(blob_paths.transcript(outcome.job_id), blob_paths.transcript(job.job_id))
        transcript = _load_account(services, job.job_id)
    except BlobNotFound:
        return False
    if transcript.names:
        # Named since then, for whoever did it: not for the next one. What we copied is overwritten by the join.
        return False
    _copy_voices(services, outcome.job_id, job.job_id)
    with run_step(services, job.job_id, JOIN) as run:
        services.jobs.update(
            job.job_id,
            {
                "duration_s": transcript.coverage.duration_s,
                "speech_s": round(transcript.coverage.speech_s, 3),
                "chunks_total": outcome.chunks_total,
            },
        )
        run.savings = savings
    services.jobs.advance(job.job_id, JobStatus.JOINING)
    _conclude(services, job, transcript)
    return True


def _copy_voices(services: Services, job_id: str, to: str) -> None:
    """So that the speakers of the answered job can be named and enrolled as those of the one before it."""
    for path in (blob_paths.turns, blob_paths.speaker_voices):
        with suppress(BlobNotFound):
            services.blobs.copy(path(job_id), path(to))


def _load_account(services: Services, job_id: str) -> Transcript:
    """The stored transcript without its text: what the end of a job needs."""
    with services.blobs.local_copy(blob_paths.transcript(job_id)) as file, file.open("rb") as opened:
        return replace(codec.read_transcript(opened), segments=())


def _find_work_left(services: Services, job: Job, plan: Plan) -> Missing:
    """Also mends the records of pieces whose worker left the result but died before it could say so."""
    steps = services.jobs.steps(job.job_id)
    results = find_results(services, job, steps)
    for step in steps:
        if step.piece in results:
            settle(services, step)
    return find_missing(wanted_pieces(services, job, plan), steps, results)


def _finish(services: Services, job: Job, results: _Results) -> None:
    gaps = find_gaps(results.plan, results.recognitions, results.steps)
    naming = find_names(services, job, results.plan, results.diarization)
    if results.plan.chunks and not results.recognitions:
        message = f"No chunk could be transcribed. {gaps[0].reason}"
        fail_job(services, job.job_id, JobFailure("nothing_transcribed", message))
        return
    with run_step(services, job.job_id, JOIN):
        transcript = _join(services, job, results, gaps, naming)
        _store_transcript(services, job, transcript)
    _keep_outcome(services, job, results, transcript)
    _conclude(services, job, transcript)


def _load_results(services: Services, job: Job, plan: Plan) -> _Results:
    return _Results(
        plan,
        {step.piece: step for step in services.jobs.steps(job.job_id)},
        _load_recognitions(services, job.job_id, plan),
        _load_diarization(services, job, plan),
    )


def _store_transcript(services: Services, job: Job, transcript: Transcript) -> None:
    with work_dir(services) as directory:
        file = directory / "transcript.json"
        with file.open("wb") as opened:
            codec.write_transcript(transcript, opened)
        services.blobs.put_file(blob_paths.transcript(job.job_id), file)


class _StoredRecognitions(Mapping[int, Recognition]):
    """Recognitions as they are stored, read when asked for: of a long recording, all at once would be too much."""

    def __init__(self, documents: Mapping[int, bytes]) -> None:
        self._documents = documents

    def __getitem__(self, index: int) -> Recognition:
        return codec.load_recognition(zlib.decompress(self._documents[index]))

    def __iter__(self) -> Iterator[int]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)


def _load_recognitions(services: Services, job_id: str, plan: Plan) -> Mapping[int, Recognition]:
    found: dict[int, bytes] = {}
    for chunk in plan.chunks:
        try:
            content = services.blobs.get_bytes(blob_paths.chunk_result(job_id, chunk.index))
        except BlobNotFound:
            continue
        found[chunk.index] = zlib.compress(content)
    return _StoredRecognitions(found)


def _join(services: Services, job: Job, results: _Results, gaps: Sequence[Gap], naming: Naming) -> Transcript:
    plan = results.plan
    about_speakers = speaker_notices(job, plan, results.steps, results.diarization)
    return join_transcript(
        JoinInput(
            plan=plan,
            recognitions=results.recognitions,
            gaps=gaps,
            diarization=results.diarization,
            # An engine that finds words and speakers together has joined them already.
            strategy="overlap" if plan.is_one_shot else job.options.join,
            notices=(*plan.notices, *about_speakers, *naming_notices(job, results.steps, naming.uncompared)),
            engines=_engines_used(services, results.recognitions, results.diarization),
            pieces=_pieces_used(results),
            names=naming.names,
        )
    )


def _load_diarization(services: Services, job: Job, plan: Plan) -> Diarization | None:
    if not plan.chunks or not has_speakers(job, plan):
        return None
    try:
        content = services.blobs.get_bytes(blob_paths.turns(job.job_id))
    except BlobNotFound:
        return None
    return codec.load_diarization(content)


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


def _pieces_used(results: _Results) -> tuple[PieceUse, ...]:
    """Where the words of each chunk come from, and which engines could not say them."""
    used = []
    for chunk in results.plan.chunks:
        recognition = results.recognitions.get(chunk.index)
        if recognition is not None:
            step = results.steps.get(piece_of(results.plan, chunk))
            given_up = tuple(failure.engine for failure in step.failures) if step else ()
            used.append(PieceUse(chunk.own, recognition.engine, recognition.model, given_up))
    return tuple(used)


def _keep_outcome(services: Services, job: Job, results: _Results, transcript: Transcript) -> None:
    """Keep the answer for the next who asks the same, unless something in it was only second best."""
    is_whole = (
        not job.options.voiceprints
        and not transcript.coverage.gaps
        and not lacks_times(transcript.warnings)
        and all(step.status != "failed" and not step.failures for step in results.steps.values())
    )
    if not is_whole:
        return
    savings = _cost_of(services, results)
    outcome = Outcome(job.job_id, len(results.plan.chunks), savings.engine_s, savings.usd)
    content, audio_s = codec.dump_outcome(outcome), results.plan.duration_s
    keep_result(services, job, whole_key(services, job), content, audio_s=audio_s)


def _cost_of(services: Services, results: _Results) -> Savings:
    """What the pieces' engines took, in this job or in the one they were taken over from."""
    engine_s = sum(recognition.engine_s for recognition in results.recognitions.values())
    usd = 0.0
    for chunk in results.plan.chunks:
        engine = results.recognitions[chunk.index].engine
        transcriber = services.one_shots.get(engine) or services.transcribers.get(engine)
        if transcriber is not None:
            usd += transcriber.capabilities.price(chunk.audio.duration_s)
    if results.diarization is not None:
        engine_s += results.diarization.engine_s
        diarizer = services.diarizers.get(results.diarization.engine)
        if diarizer is not None:
            usd += diarizer.capabilities.price(results.plan.duration_s)
    return Savings(engine_s, usd)


def _conclude(services: Services, job: Job, transcript: Transcript) -> None:
    gaps = transcript.coverage.gaps
    if gaps and job.options.on_gap == "fail":
        message = (
            f"{len(gaps)} of {job.chunks_total} chunks could not be transcribed, and on_gap is fail. "
            f"POST /v1/jobs/{job.job_id}/retry tries only these again. {gaps[0].reason}"
        )
        fail_job(services, job.job_id, JobFailure("gaps_left", message))
        return
    status = JobStatus.PARTIAL if gaps else JobStatus.SUCCEEDED
    now = services.clock()
    if not services.jobs.advance(job.job_id, status, {"finished_at": now, "warnings": transcript.warnings}):
        return
    elapsed_s = (now - (job.restarted_at or job.created_at)).total_seconds()
    services.meter.observe_job(status, transcript.coverage.duration_s, elapsed_s)
    if status is JobStatus.SUCCEEDED and not lacks_voices(transcript.warnings):
        # The pieces are only needed to try what is missing again; the transcript, the source and the audio stay.
        services.blobs.delete_tree(blob_paths.chunks_root(job.job_id))
    log.info("job_finished", status=status, elapsed_s=round(elapsed_s, 3), words=transcript.coverage.word_count)
    start_waiting(services, job.tenant)
