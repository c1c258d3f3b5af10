"""Everything a step needs from outside, in one frozen value built by ``config.bootstrap``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from erni.chunking import ChunkLimits
from erni.media.ffmpeg import Decoder
from erni.ports import BlobStore, Diarizer, JobQueue, JobStore, KeyStore, QueueWatch, StageMeter, Transcriber


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on work, from settings."""

    chunks: ChunkLimits
    max_deliveries: int
    deadline_s: float
    stuck_after_s: float
    retention_s: float
    temporary_s: float


@dataclass(frozen=True, slots=True)
class Services:
    """One field per port, the engines by name, and the limits."""

    jobs: JobStore
    keys: KeyStore
    blobs: BlobStore
    queue: JobQueue
    queue_watch: QueueWatch
    meter: StageMeter
    transcribers: Mapping[str, Transcriber]
    diarizers: Mapping[str, Diarizer]
    decoder: Decoder
    limits: Limits
    temporary_dir: Path
    clock: Callable[[], datetime] = utc_now
