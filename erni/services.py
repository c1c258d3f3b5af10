"""Everything a step needs from outside, in one frozen value built by ``config.bootstrap``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from erni.chunking import ChunkLimits
from erni.engine_ports import Aligner, Diarizer, OneShotEngine, Transcriber, VoiceprintMaker
from erni.media.ffmpeg import Decoder
from erni.ports import (
    BlobStore,
    EngineGates,
    EngineHours,
    Flights,
    JobQueue,
    JobStore,
    KeyStore,
    Ledger,
    Probes,
    QueueWatch,
    StageCache,
    StageMeter,
    WaitingChunks,
)
from erni.voice_ports import Cipher, VoiceprintStore


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class CacheLife:
    """How long a cached result lives: the longer, the more audio it spares, up to a limit.

    ``is_shared`` lets one tenant's results answer another's jobs.
    """

    base_s: float
    per_audio_s: float
    max_s: float
    is_shared: bool = False

    def of(self, audio_s: float) -> float:
        """Seconds to keep the result of so many seconds of audio."""
        return min(self.max_s, self.base_s + self.per_audio_s * audio_s)


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """How vendors' jobs are waited for: ``poll_s`` by provider, or ``awaited_poll_s`` where its webhook is to come, and
    at most ``longest_s``; where another engine can take over, at most ``silent_s`` after the vendor last told how it
    stands.

    ``public_url`` is where vendors reach the API; ``signing`` the providers whose webhooks can be verified.
    """

    poll_s: Mapping[str, float] = field(default_factory=dict)
    awaited_poll_s: float = 60.0
    longest_s: float = 4 * 3600.0
    silent_s: float = 900.0
    public_url: str | None = None
    signing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """Dollars a job, and a key in a calendar month, may spend where neither says; ``None`` for no cap."""

    job_usd: float | None = None
    key_month_usd: float | None = None


@dataclass(frozen=True, slots=True)
class NamingLimits:
    """When a voice counts as known: least likeness by engine (else ``threshold``), least distance to the next one."""

    threshold: float = 0.6
    margin: float = 0.15
    thresholds: Mapping[str, float] = field(default_factory=dict)
    max_days: float = 365.0
    """Longest a voiceprint is kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on work, from settings.

    ``tenant_jobs`` of one tenant are worked on at a time; ``window`` chunks of one job are in the queue at a time (0:
    as many as there are processes for them); work on more than ``long_s`` of audio goes to its own queue.
    """

    chunks: ChunkLimits
    max_deliveries: int
    deadline_s: float
    stuck_after_s: float
    retention_s: float
    temporary_s: float
    cache: CacheLife
    tenant_jobs: int
    window: int
    long_s: float
    remote: RemoteLimits
    spending: SpendingLimits
    naming: NamingLimits


@dataclass(frozen=True, slots=True)
class Services:
    """One field per port, the engines by name, and the limits."""

    jobs: JobStore
    keys: KeyStore
    blobs: BlobStore
    queue: JobQueue
    queue_watch: QueueWatch
    cache: StageCache
    flights: Flights
    waiting_chunks: WaitingChunks
    meter: StageMeter
    transcribers: Mapping[str, Transcriber]
    diarizers: Mapping[str, Diarizer]
    one_shots: Mapping[str, OneShotEngine]
    voiceprint_makers: Mapping[str, VoiceprintMaker]
    gates: EngineGates
    ledger: Ledger
    voiceprints: VoiceprintStore
    cipher: Cipher
    probes: Probes
    engine_hours: EngineHours
    decoder: Decoder
    limits: Limits
    temporary_dir: Path
    clock: Callable[[], datetime] = utc_now
    aligner: Aligner | None = None
    """Gives times to the words of engines that have none."""
    is_draining: Callable[[], bool] = lambda: False
    """Whether this worker is to give its work back now, because it is shutting down."""
