"""Finding out who speaks when: chunk by chunk beside the transcription and then told apart, or the whole in one piece,
as the diarizer works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound, EngineRejected
from erni.jobs import Job, Piece, StepKind
from erni.model import Diarization, Plan
from erni.ports import ChunkedDiarizer, ClusteringRequest, DiarizationRequest, Diarizer, EmbeddingRequest, WholeDiarizer
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.pieces import DIARIZATION, result_path
from erni.steps.reusing import diarize_key, find_diarization, find_voices, keep_result, price, stage_keys
from erni.steps.running import StepRun, make_checkpoint
from erni.steps.working import PieceStatus, PieceWork, chunk_audio, do_piece, find_work, give_up_piece
from erni.voices import Voices, dump_voices, gather_voices, load_voices

log = structlog.get_logger(__name__)


def embed_chunk(services: Services, job_id: str, index: int) -> PieceStatus:
    """Leave how the voices of one chunk sound in its blob, unless that is done already or given up.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    work = find_work(services, job_id, Piece(StepKind.EMBED, index))
    if not isinstance(work, PieceWork):
        return work
    diarizer = _diarizer_of(services, work.job)
    if not isinstance(diarizer, ChunkedDiarizer):
        return _give_up_unknown(services, work)
    key = stage_keys(services, work.job).embed(work.plan, work.chunk, diarizer.capabilities)
    engines = (diarizer.capabilities.engine,)
    return do_piece(services, work, key, engines, lambda run: _embed(services, work, diarizer, key, run))


def diarize_job(services: Services, job_id: str) -> PieceStatus:
    """Find who speaks when in the whole recording, into the turns blob, unless that is done already or given up.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    work = find_work(services, job_id, DIARIZATION)
    if not isinstance(work, PieceWork):
        return work
    diarizer = _diarizer_of(services, work.job)
    if not isinstance(diarizer, WholeDiarizer):
        return _give_up_unknown(services, work)

    def ask(key: StageKey, run: StepRun) -> Diarization:
        diarization = _ask_whole(services, work, diarizer, key)
        run.engine_s = diarization.engine_s
        return diarization

    return _find_turns(services, work, diarizer, ask)


def tell_voices_apart(services: Services, job: Job, plan: Plan) -> PieceStatus:
    """Turn the chunks' voices into turns, where the job's diarizer works by chunk and that is not done yet.

    Raises: as ``diarize_job``.
    """
    diarizer = services.diarizers.get(job.options.diarizer or "")
    if not plan.chunks or not isinstance(diarizer, ChunkedDiarizer):
        return "ok"
    work = find_work(services, job.job_id, DIARIZATION)
    if not isinstance(work, PieceWork):
        return work

    def ask(_: StageKey, run: StepRun) -> Diarization:
        options = job.options
        voices = _load_voices(services, job, plan)
        request = ClusteringRequest(voices, options.num_speakers, options.min_speakers, options.max_speakers)
        diarization = diarizer.cluster(request)
        # The rest was counted where the chunks were listened to.
        run.engine_s = diarization.engine_s - voices.engine_s
        return diarization

    return _find_turns(services, work, diarizer, ask)


def _find_turns(
    services: Services, work: PieceWork, diarizer: Diarizer, ask: Callable[[StageKey, StepRun], Diarization]
) -> PieceStatus:
    """Take the turns from an earlier job with the same content, or ``ask`` for them."""
    capabilities = diarizer.capabilities
    key = diarize_key(services, work.job, work.plan, diarizer)

    def find(run: StepRun) -> None:
        usd = price(capabilities.usd_per_minute, work.plan.duration_s)
        found = find_diarization(services, work.job, key, usd)
        if found is not None:
            diarization, run.savings = found
        else:
            diarization = ask(key, run)
        content = codec.dump_diarization(diarization)
        if found is None:
            keep_result(services, work.job, key, content, audio_s=work.plan.duration_s)
        services.blobs.put_bytes(result_path(work.job.job_id, work.piece), content)
        log.info(
            "job_diarized",
            reused=found is not None,
            speakers=len({turn.speaker for turn in diarization.turns}),
            turns=len(diarization.turns),
            engine_s=round(diarization.engine_s, 3),
        )

    return do_piece(services, work, key, (capabilities.engine,), find)


def _diarizer_of(services: Services, job: Job) -> Diarizer | None:
    return services.diarizers.get(job.options.diarizer or "")


def _give_up_unknown(services: Services, work: PieceWork) -> PieceStatus:
    name = work.job.options.diarizer
    reason = f"Diarizer {name!r} is not set up on this worker, or not for this kind of work."
    give_up_piece(services, work.job.job_id, work.piece, reason)
    return "gap"


def _embed(services: Services, work: PieceWork, diarizer: ChunkedDiarizer, key: StageKey, run: StepRun) -> None:
    found = find_voices(services, work.job, key)
    if found is not None:
        voices, run.savings = found
    else:
        with chunk_audio(services, work) as audio:
            voices = diarizer.embed(
                EmbeddingRequest(
                    audio=audio,
                    offset_s=work.chunk.audio.start_s,
                    speech=work.plan.speech_in(work.chunk),
                    checkpoint=make_checkpoint(services, work.job.job_id),
                )
            )
        run.engine_s = voices.engine_s
    content = dump_voices(voices)
    if found is None:
        keep_result(services, work.job, key, content, audio_s=work.chunk.audio.duration_s)
    services.blobs.put_bytes(result_path(work.job.job_id, work.piece), content)
    log.info(
        "chunk_embedded",
        chunk=work.chunk.index,
        reused=found is not None,
        windows=len(voices.windows),
        engine_s=round(voices.engine_s, 3),
    )


def _ask_whole(services: Services, work: PieceWork, diarizer: WholeDiarizer, key: StageKey) -> Diarization:
    options = work.job.options
    with services.blobs.local_copy(blob_paths.canonical_audio(work.job.job_id)) as audio:
        return diarizer.diarize(
            DiarizationRequest(
                audio=audio,
                speech=work.plan.speech,
                num_speakers=options.num_speakers,
                min_speakers=options.min_speakers,
                max_speakers=options.max_speakers,
                checkpoint=make_checkpoint(services, work.job.job_id),
                key=key.own,
            )
        )


def _load_voices(services: Services, job: Job, plan: Plan) -> Voices:
    """Of all chunks that have some. Raises EngineRejected where none has."""

    def parts() -> Iterator[Voices]:
        for chunk in plan.chunks:
            with suppress(BlobNotFound):
                yield load_voices(services.blobs.get_bytes(blob_paths.chunk_voices(job.job_id, chunk.index)))

    voices = gather_voices(parts())
    if voices is None:
        raise EngineRejected("The voices of no chunk could be heard.")
    return voices
