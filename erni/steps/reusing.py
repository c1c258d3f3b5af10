"""A job's use of the stage cache: what to look up under which key, what to keep, and what that spared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from erni import codec
from erni.capabilities import TranscriberCapabilities
from erni.chunking import ChunkLimits
from erni.engine_ports import ChunkedDiarizer, Diarizer
from erni.errors import DocumentDamaged, InputError
from erni.jobs import Job, Savings
from erni.model import Diarization, OneShotAnswer, Outcome, Plan, Preparation, Recognition
from erni.ports import CacheLookup
from erni.services import Services
from erni.stage_keys import StageKey, StageKeys
from erni.voices import Voices, load_voices

log = structlog.get_logger(__name__)

T = TypeVar("T")


def stage_keys(services: Services, job: Job) -> StageKeys:
    return StageKeys(job, is_shared=services.limits.cache.is_shared)


def first_capabilities(services: Services, job: Job) -> TranscriberCapabilities:
    """Of the engine the job begins with. Raises InputError when it is not set up here."""
    name = job.options.engine
    engine = services.one_shots.get(name) if job.options.method == "replicate" else services.transcribers.get(name)
    if engine is None:
        raise InputError(f"Engine {name!r} is not set up on the workers.", field="engine")
    return engine.capabilities


def chunk_limits(services: Services, job: Job) -> ChunkLimits:
    """The configured chunk lengths, within what every engine of the job that is set up here takes."""
    engines = [
        services.transcribers[name].capabilities for name in job.options.engines if name in services.transcribers
    ]
    return fit_limits(services.limits.chunks, engines)


def fit_limits(limits: ChunkLimits, engines: Sequence[TranscriberCapabilities]) -> ChunkLimits:
    """Chunk lengths that every one of the engines takes; the first one says what it likes best."""
    longest = [engine.longest_chunk_s for engine in engines]
    max_s = min([limits.max_s, *(length_s for length_s in longest if length_s is not None)])
    liked_s = engines[0].target_chunk_s if engines else None
    return replace(limits, max_s=max_s, target_s=min(liked_s or limits.target_s, max_s))


def prepare_key(services: Services, job: Job) -> StageKey:
    """Raises InputError: the job's engine is not set up here."""
    first_capabilities(services, job)
    limits = None if job.options.method == "replicate" else chunk_limits(services, job)
    return stage_keys(services, job).prepare(limits)


def whole_key(services: Services, job: Job) -> StageKey:
    """Of the whole job. Raises InputError: the job's engine is not set up here."""
    diarizer = services.diarizers.get(job.options.diarizer or "")
    return stage_keys(services, job).whole(
        prepare_key(services, job),
        first_capabilities(services, job),
        diarizer.capabilities if diarizer else None,
        services.aligner.fingerprint if services.aligner else None,
    )


def diarize_key(services: Services, job: Job, plan: Plan, diarizer: Diarizer, voices: Sequence[str] = ()) -> StageKey:
    by_chunk = isinstance(diarizer, ChunkedDiarizer)
    return stage_keys(services, job).diarize(plan, diarizer.capabilities, by_chunk=by_chunk, voices=voices)


def find_recognition(services: Services, job: Job, key: StageKey, usd: float) -> tuple[Recognition, Savings] | None:
    """What was heard in a chunk before, and what asking again would cost."""
    return _find(services, job, key, codec.load_recognition, lambda found: Savings(found.engine_s, usd))


def find_one_shot(services: Services, job: Job, key: StageKey, usd: float) -> tuple[OneShotAnswer, Savings] | None:
    return _find(services, job, key, codec.load_one_shot, lambda found: Savings(found.recognition.engine_s, usd))


def find_diarization(services: Services, job: Job, key: StageKey, usd: float) -> tuple[Diarization, Savings] | None:
    return _find(services, job, key, codec.load_diarization, lambda found: Savings(found.engine_s, usd))


def find_voices(services: Services, job: Job, key: StageKey) -> tuple[Voices, Savings] | None:
    return _find(services, job, key, load_voices, lambda found: Savings(found.engine_s))


def find_preparation(services: Services, job: Job, key: StageKey) -> Preparation | None:
    found = _find(services, job, key, codec.load_preparation, lambda _: Savings())
    return found[0] if found else None


def find_outcome(services: Services, job: Job, key: StageKey) -> tuple[Outcome, Savings] | None:
    return _find(services, job, key, codec.load_outcome, lambda found: Savings(found.engine_s, found.usd))


def keep_result(services: Services, job: Job, key: StageKey, content: bytes, *, audio_s: float) -> None:
    """Keep a result for as long as the audio it spares is worth."""
    ttl_s = services.limits.cache.of(audio_s)
    for name in filter(None, (key.own, key.published)):
        services.cache.put(name, content, ttl_s=ttl_s, job_id=job.job_id)


def _find(
    services: Services, job: Job, key: StageKey, load: Callable[[bytes], T], savings_of: Callable[[T], Savings]
) -> tuple[T, Savings] | None:
    """An entry that cannot be read is as good as none."""
    content = services.cache.get(key.own, job_id=job.job_id)
    if content is not None:
        try:
            found = load(content)
        except DocumentDamaged:
            log.warning("cache_entry_unreadable", stage=key.stage)
        else:
            savings = savings_of(found)
            services.meter.observe_cache(CacheLookup(key.stage, len(content), savings))
            return found, savings
    services.meter.observe_cache(CacheLookup(key.stage))
    return None
