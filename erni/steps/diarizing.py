"""Finding out who speaks when: chunk by chunk beside the transcription and then told apart, or the whole in one piece,
as the diarizer works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from erni import blob_paths, codec
from erni.engine_ports import (
    ChunkedDiarizer,
    ClusteringRequest,
    DiarizationRequest,
    Diarizer,
    EmbeddingRequest,
    RemoteDiarizer,
    RemoteVoice,
    WholeDiarizer,
)
from erni.errors import BlobNotFound, EngineRejected
from erni.identifying import speaker_centroids
from erni.jobs import Job, Piece, StepKind
from erni.model import Diarization, Plan
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.awaiting import RemoteWork, answer_or_wait, provider_of, spared_usd
from erni.steps.calling import engine_call
from erni.steps.heard_voices import are_voices_kept, keep_speaker_voices
from erni.steps.paying import settle_call
from erni.steps.pieces import DIARIZATION, result_path, voice_groups, voice_listener
from erni.steps.reusing import diarize_key, find_diarization, find_voices, keep_result, stage_keys
from erni.steps.running import StepRun, make_checkpoint, next_engine
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
    diarizer = voice_listener(services, work.job)
    if diarizer is None:
        reason = f"Diarizer {work.job.options.diarizer!r} is not set up on this worker, or not for single chunks."
        give_up_piece(services, job_id, work.piece, reason)
        return "gap"
    key = stage_keys(services, work.job).embed(work.plan, work.chunk, diarizer.capabilities)
    engines = (diarizer.capabilities.engine,)
    return do_piece(services, work, key, engines, lambda run: _embed(services, work, diarizer, key, run))


def diarize_job(services: Services, job_id: str, group: int = 0) -> PieceStatus:
    """Find who speaks when in the whole recording, into the turns blob, unless that is done already or given up.

    ``group`` numbers the known voices looked for, where there are more than the diarizer takes at a time.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    work = find_work(services, job_id, Piece(StepKind.DIARIZE, group))
    if not isinstance(work, PieceWork):
        return work
    names = work.job.options.diarizers
    first = services.diarizers.get(names[0]) if names else None
    if first is None:
        reason = f"Diarizer {work.job.options.diarizer!r} is not set up on this worker."
        give_up_piece(services, job_id, work.piece, reason)
        return "gap"
    key = diarize_key(services, work.job, work.plan, first, _voices_of(work, first))
    return do_piece(services, work, key, names, lambda run: _diarize(services, work, run))


def tell_voices_apart(services: Services, job: Job, plan: Plan) -> PieceStatus:
    """Turn the chunks' voices into turns, where the job's diarizer works by chunk and that is not done yet.

    Raises: as ``diarize_job``; WorkPostponed also where the job's next diarizer is to do it, as ``wanted_pieces`` then
    tells.
    """
    diarizer = services.diarizers.get(job.options.diarizer or "")
    if not plan.chunks or plan.is_one_shot or not isinstance(diarizer, ChunkedDiarizer):
        return "ok"
    work = find_work(services, job.job_id, DIARIZATION)
    if not isinstance(work, PieceWork):
        return work

    def ask(_: StageKey, run: StepRun) -> Diarization:
        voices = gather_chunk_voices(services, job, plan)
        if voices is None:
            raise EngineRejected("The voices of no chunk could be heard.")
        diarization = diarizer.cluster(_clustering(job, voices))
        # The rest was counted where the chunks were listened to.
        run.engine_s = diarization.engine_s - voices.engine_s
        return diarization

    key = diarize_key(services, job, plan, diarizer)
    engines = job.options.diarizers
    return do_piece(services, work, key, engines, lambda run: _find_turns(services, work, run, diarizer, ask))


def gather_chunk_voices(services: Services, job: Job, plan: Plan) -> Voices | None:
    """Of all chunks that have some."""

    def parts() -> Iterator[Voices]:
        for chunk in plan.chunks:
            with suppress(BlobNotFound):
                yield load_voices(services.blobs.get_bytes(blob_paths.chunk_voices(job.job_id, chunk.index)))

    return gather_voices(parts(), services.temporary_dir)


def _diarize(services: Services, work: PieceWork, run: StepRun) -> None:
    """By the diarizer whose turn it is; one that works by chunk takes over from another one in one piece."""
    name = run.step.engine or work.job.options.diarizer
    diarizer = services.diarizers.get(name or "")
    if diarizer is None:
        raise EngineRejected(f"Diarizer {name!r} is not set up on this worker.")
    if work.piece.part and not diarizer.capabilities.max_voiceprints:
        raise EngineRejected(f"Diarizer {name!r} knows no voices.")

    def ask(key: StageKey, run: StepRun) -> Diarization:
        diarization = _ask(services, work, run, diarizer, key)
        run.engine_s = diarization.engine_s
        return diarization

    _find_turns(services, work, run, diarizer, ask)
    if isinstance(diarizer, ChunkedDiarizer):
        _hear_speakers(services, work, diarizer)


def _hear_speakers(services: Services, work: PieceWork, diarizer: ChunkedDiarizer) -> None:
    """Where known voices are looked for and an earlier job gave the turns, which do not say how the speakers sound."""
    job = work.job
    if not job.options.voiceprints or are_voices_kept(services, job.job_id):
        return
    turns = codec.load_diarization(services.blobs.get_bytes(result_path(job.job_id, work.piece))).turns
    checkpoint = make_checkpoint(services, job.job_id)
    with services.blobs.local_copy(blob_paths.canonical_audio(job.job_id)) as audio:
        voices = diarizer.embed(EmbeddingRequest(audio, 0.0, work.plan.speech, checkpoint))
    keep_speaker_voices(services, job.job_id, speaker_centroids(voices, turns))


def _find_turns(
    services: Services,
    work: PieceWork,
    run: StepRun,
    diarizer: Diarizer,
    ask: Callable[[StageKey, StepRun], Diarization],
) -> None:
    """Take the turns from an earlier job with the same content, or ``ask`` for them."""
    key = diarize_key(services, work.job, work.plan, diarizer, _voices_of(work, diarizer))
    found = find_diarization(services, work.job, key, spared_usd(run, diarizer.capabilities, work.plan.duration_s))
    if found is not None and run.step.remote_id is not None:
        diarization, _ = found
        settle_call(services, work.job, run.step, diarizer.capabilities, diarization.bill)
        run.engine_s = diarization.engine_s
    elif found is not None:
        diarization, run.savings = found
    else:
        diarization = ask(key, run)
    content = codec.dump_diarization(diarization)
    if found is None:
        keep_result(services, work.job, key, content, audio_s=work.plan.duration_s)
    services.blobs.put_bytes(result_path(work.job.job_id, work.piece), content)
    log.info(
        "job_diarized",
        engine=diarization.engine,
        reused=found is not None,
        speakers=len({turn.speaker for turn in diarization.turns}),
        turns=len(diarization.turns),
        engine_s=round(diarization.engine_s, 3),
    )


def _ask(services: Services, work: PieceWork, run: StepRun, diarizer: Diarizer, key: StageKey) -> Diarization:
    if isinstance(diarizer, RemoteDiarizer):
        remote = RemoteWork(
            diarizer,
            lambda callback: _submit(services, work, diarizer, key, callback),
            diarizer.capabilities,
            key,
            work.plan.duration_s,
            has_next=next_engine(run.step, work.job.options.diarizers) is not None,
        )
        return answer_or_wait(services, work, run, remote)
    with services.blobs.local_copy(blob_paths.canonical_audio(work.job.job_id)) as audio:
        request = _request(services, work, audio, key)
        if isinstance(diarizer, WholeDiarizer):
            with engine_call(services, work.job, run.step, diarizer.capabilities, work.plan.duration_s) as payment:
                diarization = diarizer.diarize(request)
                payment.settle(diarization.bill)
            return diarization
        if isinstance(diarizer, ChunkedDiarizer):
            voices = diarizer.embed(EmbeddingRequest(audio, 0.0, work.plan.speech, request.checkpoint))
            diarization = diarizer.cluster(_clustering(work.job, voices))
            keep_speaker_voices(services, work.job.job_id, speaker_centroids(voices, diarization.turns))
            return diarization
    raise EngineRejected(f"Diarizer {diarizer.capabilities.engine!r} works in no way known here.")


def _submit(
    services: Services, work: PieceWork, diarizer: RemoteDiarizer, key: StageKey, callback_url: str | None
) -> str:
    ids = _voices_of(work, diarizer)
    maker = services.voiceprint_makers.get(provider_of(diarizer.capabilities.engine)) if ids else None
    prints = services.voiceprints.prints(ids, maker.capabilities.engine, tenant=work.job.tenant) if maker else {}
    voices = tuple(RemoteVoice(label, content.decode()) for label, content in prints.items())
    if work.piece.part and not voices:
        raise EngineRejected("None of these voices is known any more.")
    with services.blobs.local_copy(blob_paths.canonical_audio(work.job.job_id)) as audio:
        request = replace(_request(services, work, audio, key), known_voices=voices)
        return diarizer.submit(request, callback_url)


def _request(services: Services, work: PieceWork, audio: Path, key: StageKey) -> DiarizationRequest:
    options = work.job.options
    return DiarizationRequest(
        audio=audio,
        speech=work.plan.speech,
        num_speakers=options.num_speakers,
        min_speakers=options.min_speakers,
        max_speakers=options.max_speakers,
        checkpoint=make_checkpoint(services, work.job.job_id),
        key=key.own,
    )


def _clustering(job: Job, voices: Voices) -> ClusteringRequest:
    options = job.options
    return ClusteringRequest(voices, options.num_speakers, options.min_speakers, options.max_speakers)


def _voices_of(work: PieceWork, diarizer: Diarizer) -> tuple[str, ...]:
    """The known voices this piece looks for, where the diarizer knows any."""
    groups = voice_groups(work.job, diarizer)
    return groups[work.piece.part] if work.piece.part < len(groups) else ()


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
