"""The only place that picks implementations: settings in, services out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine

from config.engines import (
    PYANNOTE,
    REPLICATE,
    build_aligner,
    build_diarizers,
    build_one_shots,
    build_transcribers,
    build_verifiers,
    build_voiceprint_makers,
)
from config.queue import QUEUE_OF_KIND, QUEUES, CeleryJobQueue, make_celery
from config.settings import Settings
from erni.chunking import ChunkLimits
from erni.engines.http_call import is_loopback
from erni.errors import ConfigError
from erni.keys import MIN_TOKEN_LENGTH, ApiKey, Role, hash_token, make_token
from erni.media.ffmpeg import Decoder, find_ffmpeg
from erni.offers import Offers
from erni.ports import KeyStore
from erni.services import CacheLife, Limits, NamingLimits, RemoteLimits, Services, SpendingLimits, utc_now
from erni.stores.blobs import FsspecBlobStore
from erni.stores.ciphers import VoiceCipher, load_cipher
from erni.stores.database import migrate, open_database
from erni.stores.redis_cache import RedisStageCache
from erni.stores.redis_flights import RedisFlights
from erni.stores.redis_gates import RedisEngineGates
from erni.stores.redis_meter import RedisStageMeter
from erni.stores.redis_probes import RedisProbes
from erni.stores.redis_queue_state import RedisQueueState
from erni.stores.redis_waiting_chunks import RedisWaitingChunks
from erni.stores.sql_engine_hours import SqlEngineHours
from erni.stores.sql_jobs import SqlJobStore
from erni.stores.sql_keys import SqlKeyStore
from erni.stores.sql_ledger import SqlLedger
from erni.stores.sql_voiceprints import SqlVoiceprintStore

DEFAULT_TENANT = "default"
VOICE_KEY_FILE = "voices.key"
PROBES_LIVE = 3
"""Intervals after which nothing is known any more of a vendor that nobody asked."""
REDIS_TIMEOUT_S = 5.0


def build_services(settings: Settings) -> Services:
    """Everything a step or a route needs. Opens connections lazily; loads no model.

    Raises:
        ConfigError: a setting names something that is not there.
    """
    database = open_database(settings.records_url)
    client = build_redis(settings)
    transcribers = build_transcribers(settings)
    cipher = build_cipher(settings)
    return Services(
        jobs=SqlJobStore(database),
        keys=SqlKeyStore(database),
        blobs=build_blobs(settings),
        queue=CeleryJobQueue(make_celery(settings)),
        queue_watch=RedisQueueState(client, QUEUES, queue_of_kind=QUEUE_OF_KIND),
        cache=RedisStageCache(
            client, max_entry_bytes=settings.cache.max_entry_bytes, longest_ttl_s=settings.cache.ttl_max_s
        ),
        flights=RedisFlights(client, lease_s=settings.queue.flight_lease_s),
        waiting_chunks=RedisWaitingChunks(client),
        meter=RedisStageMeter(client),
        transcribers=transcribers,
        diarizers=build_diarizers(settings),
        one_shots=build_one_shots(settings),
        voiceprint_makers=build_voiceprint_makers(settings),
        gates=_build_gates(settings, client),
        probes=RedisProbes(client, lives_s=PROBES_LIVE * settings.beat.probe_every_s),
        engine_hours=SqlEngineHours(database),
        ledger=SqlLedger(database),
        voiceprints=SqlVoiceprintStore(database, cipher, utc_now),
        cipher=cipher,
        decoder=_build_decoder(settings),
        limits=_limits(settings),
        temporary_dir=settings.temporary_dir,
        aligner=build_aligner(settings, transcribers),
    )


def _build_gates(settings: Settings, client: redis.Redis) -> RedisEngineGates:
    breaker = settings.breaker
    return RedisEngineGates(client, failures=breaker.failures, rest_s=breaker.rest_s, quota_rest_s=breaker.quota_rest_s)


def _build_decoder(settings: Settings) -> Decoder:
    media = settings.media
    return Decoder(find_ffmpeg(media.ffmpeg), timeout_s=media.timeout_s, max_duration_s=media.max_duration_s)


def _limits(settings: Settings) -> Limits:
    return Limits(
        chunks=ChunkLimits(
            target_s=settings.chunks.target_s,
            max_s=settings.chunks.max_s,
            overlap_s=settings.chunks.overlap_s,
            min_silence_s=settings.chunks.min_silence_s,
        ),
        max_deliveries=settings.queue.max_deliveries,
        deadline_s=settings.jobs.deadline_s,
        stuck_after_s=settings.beat.stuck_after_s,
        retention_s=settings.jobs.retention_days * 24 * 3600,
        temporary_s=settings.jobs.temporary_hours * 3600,
        cache=CacheLife(
            base_s=settings.cache.ttl_base_s,
            per_audio_s=settings.cache.ttl_per_audio_s,
            max_s=settings.cache.ttl_max_s,
            is_shared=settings.cache.shared,
        ),
        tenant_jobs=settings.queue.tenant_jobs,
        window=settings.queue.window,
        long_s=settings.media.long_s,
        remote=_remote_limits(settings),
        spending=SpendingLimits(settings.money.job_usd, settings.money.key_month_usd),
        naming=NamingLimits(
            settings.voices.threshold,
            settings.voices.margin,
            {PYANNOTE: settings.voices.pyannote_threshold},
            settings.voices.max_days,
        ),
    )


def _remote_limits(settings: Settings) -> RemoteLimits:
    url = settings.webhooks.public_url
    if url is not None and not url.startswith("https://") and not is_loopback(url):
        raise ConfigError("ERNI_WEBHOOKS__PUBLIC_URL must begin with https://, because vendors call nothing else.")
    return RemoteLimits(
        poll_s={PYANNOTE: settings.pyannote.poll_s, REPLICATE: settings.replicate.poll_s},
        awaited_poll_s=settings.webhooks.poll_s,
        longest_s=settings.webhooks.longest_s,
        silent_s=settings.webhooks.silent_s,
        public_url=settings.webhooks.public_url,
        signing=frozenset(build_verifiers(settings)),
    )


def build_cipher(settings: Settings) -> VoiceCipher:
    """What is kept of voices is encrypted with it. Raises ConfigError: the key is malformed."""
    secret = settings.voices.key
    return load_cipher(secret.get_secret_value() if secret else None, settings.data_dir.absolute() / VOICE_KEY_FILE)


def build_redis(settings: Settings) -> redis.Redis:
    """A client for Erni's own keys; Celery keeps its own connections."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        health_check_interval=30,
        # Once, because a restarted server shows in the first command on an old connection.
        retry=Retry(NoBackoff(), 1),
    )


def build_blobs(settings: Settings) -> FsspecBlobStore:
    blobs = settings.blobs
    options: dict[str, object] = {}
    if blobs.key is not None and blobs.secret is not None:
        options |= {"key": blobs.key.get_secret_value(), "secret": blobs.secret.get_secret_value()}
    if blobs.endpoint_url is not None:
        options["endpoint_url"] = blobs.endpoint_url
    return FsspecBlobStore(settings.blobs_url, temporary_dir=settings.temporary_dir, storage_options=options)


def build_offers(settings: Settings, services: Services) -> Offers:
    """What a caller may ask for here, for the option check.

    Raises:
        ConfigError: a default engine is not among those set up, or a fallback is named twice.
    """
    engine, diarizer = settings.jobs.engine, settings.jobs.diarizer
    if engine not in services.transcribers:
        raise ConfigError(f"ERNI_JOBS__ENGINE: no engine {engine!r}; there are {sorted(services.transcribers)}.")
    if diarizer not in (*services.diarizers, "none"):
        raise ConfigError(f"ERNI_JOBS__DIARIZER: no diarizer {diarizer!r}; there are {sorted(services.diarizers)}.")
    return Offers(
        transcribers={name: engine.capabilities for name, engine in services.transcribers.items()},
        diarizers={name: diarizer.capabilities for name, diarizer in services.diarizers.items()},
        default_engine=engine,
        default_diarizer=None if diarizer == "none" else diarizer,
        max_deadline_s=settings.jobs.deadline_s,
        default_fallback=_listed("FALLBACK", settings.jobs.fallback, services.transcribers),
        default_diarizer_fallback=_listed("DIARIZER_FALLBACK", settings.jobs.diarizer_fallback, services.diarizers),
        one_shots={name: engine.capabilities for name, engine in services.one_shots.items()},
        callers=services.limits.remote.signing if settings.webhooks.public_url is not None else frozenset(),
    )


def _listed(setting: str, names_listed: str, engines: Mapping[str, object]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in names_listed.split(",") if name.strip())
    if unknown := [name for name in names if name not in engines]:
        raise ConfigError(f"ERNI_JOBS__{setting}: no engine {unknown[0]!r}; there are {sorted(engines)}.")
    if len(set(names)) != len(names):
        raise ConfigError(f"ERNI_JOBS__{setting}: names an engine twice.")
    return names


def build_key_store(settings: Settings) -> KeyStore:
    return SqlKeyStore(_migrated_database(settings))


def _migrated_database(settings: Settings) -> Engine:
    database = open_database(settings.records_url)
    migrate(database)
    return database


def initialise(settings: Settings) -> str | None:
    """Make the data directory, bring the records up to date, and make the first admin key if there is none.

    Returns the new key's token, to be shown once, or ``None`` when there are keys already or the setting
    presets it. May run on several hosts at once.

    Raises:
        ConfigError: the preset key is too short.
    """
    settings.temporary_dir.mkdir(parents=True, exist_ok=True)
    keys = build_key_store(settings)
    if settings.admin_key is not None:
        token = settings.admin_key.get_secret_value()
        if len(token) < MIN_TOKEN_LENGTH:
            raise ConfigError(f"ERNI_ADMIN_KEY must have at least {MIN_TOKEN_LENGTH} characters.")
        keys.add_key(make_key(token, role="admin", label="preset"))
        return None
    if keys.list_keys():
        return None
    token = make_token()
    keys.add_key(make_key(token, role="admin", label="first start"))
    return token


def make_key(token: str, *, tenant: str = DEFAULT_TENANT, role: Role = "user", label: str = "") -> ApiKey:
    """The record of a new key; the token itself is not in it."""
    return ApiKey(
        key_id=uuid.uuid4().hex[:12],
        tenant=tenant,
        role=role,
        token_hash=hash_token(token),
        created_at=utc_now(),
        label=label,
    )
