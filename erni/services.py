"""Everything a step needs from outside, in one frozen value built by ``config.bootstrap``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from erni.chunking import ChunkLimits
from erni.media.ffmpeg import Decoder
from erni.ports import (
    BlobStore,
    Diarizer,
    Flights,
    JobQueue,
    JobStore,
    KeyStore,
    QueueWatch,
    StageCache,
    StageMeter,
    Transcriber,
    WaitingChunks,
)


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
    decoder: Decoder
    limits: Limits
    temporary_dir: Path
    clock: Callable[[], datetime] = utc_now
    is_draining: Callable[[], bool] = lambda: False
    """Whether this worker is to give its work back now, because it is shutting down."""
