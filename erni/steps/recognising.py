"""Transcribing one chunk, beside whatever else is done with it."""

from __future__ import annotations

import structlog

from erni import blob_paths, codec
from erni.capabilities import TranscriberCapabilities
from erni.engine_ports import TranscriptionRequest
from erni.errors import BlobNotFound, EngineRejected
from erni.jobs import Piece, StepKind
from erni.languages import HeardLanguage
from erni.model import Recognition
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.calling import engine_call
from erni.steps.pieces import result_path
from erni.steps.reusing import find_recognition, keep_result, stage_keys
from erni.steps.running import StepRun, make_checkpoint
from erni.steps.timing import give_times
from erni.steps.working import PieceStatus, PieceWork, do_piece, find_work, upload_audio

log = structlog.get_logger(__name__)


def transcribe_chunk(services: Services, job_id: str, index: int) -> PieceStatus:
    """Transcribe one chunk into its result blob, unless that is done already or given up.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    work = find_work(services, job_id, Piece(StepKind.TRANSCRIBE, index))
    if not isinstance(work, PieceWork):
        return work
    options = work.job.options
    key = _chunk_key(services, work, options.engines[0])
    return do_piece(services, work, key, options.engines, lambda run: _transcribe(services, work, run))


def _transcribe(services: Services, work: PieceWork, run: StepRun) -> None:
    engine = run.step.engine or work.job.options.engines[0]
    key = _chunk_key(services, work, engine)
    usd = _capabilities(services, engine).price(work.chunk.audio.duration_s)
    found = find_recognition(services, work.job, key, usd)
    if found is not None:
        recognition, run.savings = found
    else:
        recognition = _ask_transcriber(services, work, run, engine)
        run.engine_s = recognition.engine_s
        # Before anything else: neither a full disk nor a failing aligner costs a second payment then.
        content = codec.dump_recognition(recognition)
        keep_result(services, work.job, key, content, audio_s=work.chunk.audio.duration_s)
    recognition = give_times(services, work, recognition, key)
    _remember_language(services, work, recognition)
    services.blobs.put_bytes(result_path(work.job.job_id, work.piece), codec.dump_recognition(recognition))
    log.info(
        "chunk_transcribed",
        chunk=work.chunk.index,
        engine=engine,
        reused=found is not None,
        audio_s=round(work.chunk.audio.duration_s, 2),
        engine_s=round(recognition.engine_s, 3),
        words=len(recognition.words),
    )


def _ask_transcriber(services: Services, work: PieceWork, run: StepRun, engine: str) -> Recognition:
    transcriber = services.transcribers.get(engine)
    if transcriber is None:
        raise EngineRejected(f"Engine {engine!r} is not set up on this worker.")
    options, audio_s, capabilities = work.job.options, work.chunk.audio.duration_s, transcriber.capabilities
    with (
        # Before the gate: between its turn and the call nothing should pass but the way to the vendor.
        upload_audio(services, work, capabilities.upload_format) as audio,
        engine_call(services, work.job, run.step, capabilities, audio_s) as payment,
    ):
        recognition = transcriber.transcribe(
            TranscriptionRequest(
                audio=audio,
                duration_s=audio_s,
                language=options.language,
                likely_language=_find_likely_language(services, work),
                prompt=options.prompt,
                checkpoint=make_checkpoint(services, work.job.job_id),
                key=_chunk_key(services, work, engine).own,
                keywords=options.keywords,
            )
        )
        payment.settle(recognition.bill)
    return recognition


def _find_likely_language(services: Services, work: PieceWork) -> str | None:
    """What the first chunk of the recording that was sure of its language heard; for those that are not."""
    if work.job.options.language is not None:
        return None
    try:
        return services.blobs.get_bytes(blob_paths.language(work.job.job_id)).decode()
    except BlobNotFound:
        return None


def _remember_language(services: Services, work: PieceWork, recognition: Recognition) -> None:
    """Of two chunks that are sure at the same moment either may be first; both keep what they heard."""
    if recognition.language is None or recognition.language_confidence is None:
        return
    heard = HeardLanguage(work.chunk.own, recognition.language, recognition.language_confidence, len(recognition.words))
    path = blob_paths.language(work.job.job_id)
    if heard.counts and not services.blobs.exists(path):
        services.blobs.put_bytes(path, recognition.language.encode())


def _chunk_key(services: Services, work: PieceWork, engine: str) -> StageKey:
    return stage_keys(services, work.job).transcribe(work.chunk, _capabilities(services, engine))


def _capabilities(services: Services, engine: str) -> TranscriberCapabilities:
    """Of an engine that is not set up on this worker only the name is known."""
    transcriber = services.transcribers.get(engine)
    return transcriber.capabilities if transcriber else TranscriberCapabilities(engine, "", languages=None)
