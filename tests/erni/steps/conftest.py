"""Services over real SQLite, Redis, ffmpeg and a real directory, with scripted engines and a queue that notes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet

from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities, VoiceprintCapabilities
from erni.chunking import ChunkLimits
from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.pyannote import PyannoteDiarizer, PyannoteVoiceprints
from erni.engines.pyannote_connection import PyannoteConnection
from erni.engines.replicate import ReplicateOneShot
from erni.engines.replicate_connection import ReplicateConnection
from erni.engines.scripted import ScriptedDiarizer, ScriptedTranscriber
from erni.errors import QueueUnavailable
from erni.jobs import Job, JobOptions, Piece, RemoteStop, StepKind
from erni.keys import ApiKey
from erni.media.ffmpeg import Decoder, find_ffmpeg
from erni.model import Turn, Word
from erni.ports import CacheLookup, FanOut
from erni.services import CacheLife, Limits, NamingLimits, RemoteLimits, Services, SpendingLimits
from erni.steps.accepting import Submission, Upload, accept_job, start_job
from erni.stores.blobs import FsspecBlobStore
from erni.stores.ciphers import VoiceCipher
from erni.stores.database import migrate, open_database
from erni.stores.redis_cache import RedisStageCache
from erni.stores.redis_flights import RedisFlights
from erni.stores.redis_gates import RedisEngineGates
from erni.stores.redis_probes import RedisProbes
from erni.stores.redis_waiting_chunks import RedisWaitingChunks
from erni.stores.sql_engine_hours import SqlEngineHours
from erni.stores.sql_jobs import SqlJobStore
from erni.stores.sql_keys import SqlKeyStore
from erni.stores.sql_ledger import SqlLedger
from erni.stores.sql_voiceprints import SqlVoiceprintStore
from vendors.listening import ScriptedListening
from vendors.pyannote import API_KEY, PyannoteVendor
from vendors.replicate import API_TOKEN, ReplicateVendor
from vendors.server import serve

SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"
CALLER = ApiKey("key", "acme", "user", "hash", datetime(2026, 1, 1, tzinfo=UTC))
PYANNOTE = "pyannote/precision-2"
REPLICATE = "replicate/whisper-diarization"
POLL_S = 5.0
SCRIPTED = JobOptions(engine="scripted", diarizer="scripted")


@dataclass
class NotingQueue:
    """A JobQueue that notes what is sent, or is away; and a QueueWatch that shows what a test puts in."""

    sent: list[tuple[object, ...]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    is_away: bool = False

    def send_prepare(self, job_id: str, *, is_long: bool = False) -> None:
        self._note("prepare_long" if is_long else "prepare", job_id)

    def send_fan_out(self, job_id: str, fan_out: FanOut) -> None:
        self._note("fan_out", job_id, fan_out)

    def send_finish(self, job_id: str, *, is_long: bool = False) -> None:
        self._note("finish_long" if is_long else "finish", job_id)

    def send_wake(self, job_id: str, piece: Piece) -> None:
        self._note("wake", job_id, piece)

    def send_enrol(self, voiceprint_id: str) -> None:
        self._note("enrol", voiceprint_id)

    def send_stop(self, stop: RemoteStop) -> None:
        self._note("stop", stop)

    def jobs_in_queue(self) -> set[str]:
        return self.held

    def count_processes(self, kind: StepKind) -> int:
        return 2

    def _note(self, *message: object) -> None:
        if self.is_away:
            raise QueueUnavailable("The broker is away.")
        self.sent.append(message)


@dataclass
class NotingMeter:
    """A StageMeter that notes."""

    stages: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    lookups: list[CacheLookup] = field(default_factory=list)

    def observe_stage(self, stage: str, elapsed_s: float) -> None:
        self.stages.append(stage)

    def observe_job(self, status: str, audio_s: float, elapsed_s: float) -> None:
        self.jobs.append(status)

    def observe_cache(self, lookup: CacheLookup) -> None:
        self.lookups.append(lookup)


@dataclass
class Clock:
    """Stands still until it is told to go on."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def queue() -> NotingQueue:
    return NotingQueue()


@pytest.fixture
def meter() -> NotingMeter:
    return NotingMeter()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spoken(request: TranscriptionRequest) -> tuple[Word, ...]:
    """One word a second, over the whole chunk."""
    return tuple(Word(f"word{second}", second + 0.1, second + 0.9) for second in range(int(request.duration_s)))


def two_speakers(request: DiarizationRequest) -> tuple[Turn, ...]:
    end_s = request.speech[-1].end_s
    return (Turn(0.0, end_s / 2, "A"), Turn(end_s / 2, end_s, "B"))


@pytest.fixture
def services(
    tmp_path: Path, queue: NotingQueue, meter: NotingMeter, clock: Clock, redis_client: redis.Redis
) -> Services:
    database = open_database(f"sqlite:///{tmp_path}/records.db")
    migrate(database)
    temporary_dir = tmp_path / "tmp"
    temporary_dir.mkdir()
    cipher = VoiceCipher(MultiFernet([Fernet(Fernet.generate_key())]))
    return Services(
        jobs=SqlJobStore(database),
        keys=SqlKeyStore(database),
        blobs=FsspecBlobStore(f"file://{tmp_path}/blobs", temporary_dir=temporary_dir),
        queue=queue,
        queue_watch=queue,
        cache=RedisStageCache(redis_client, max_entry_bytes=2**20, longest_ttl_s=3600.0),
        flights=RedisFlights(redis_client, lease_s=2.0),
        waiting_chunks=RedisWaitingChunks(redis_client),
        meter=meter,
        transcribers={"scripted": ScriptedTranscriber(spoken)},
        diarizers={"scripted": ScriptedDiarizer(two_speakers)},
        one_shots={},
        voiceprint_makers={},
        gates=RedisEngineGates(redis_client, failures=3, rest_s=5.0, quota_rest_s=60.0),
        probes=RedisProbes(redis_client, lives_s=60.0),
        engine_hours=SqlEngineHours(database),
        ledger=SqlLedger(database, clock=clock),
        voiceprints=SqlVoiceprintStore(database, cipher, clock),
        cipher=cipher,
        decoder=Decoder(find_ffmpeg(None), timeout_s=60.0, max_duration_s=3600.0),
        limits=Limits(
            chunks=ChunkLimits(target_s=20.0, max_s=30.0, overlap_s=2.0, min_silence_s=0.2),
            max_deliveries=3,
            deadline_s=3600.0,
            stuck_after_s=30.0,
            retention_s=86400.0,
            temporary_s=3600.0,
            cache=CacheLife(base_s=60.0, per_audio_s=1.0, max_s=3600.0),
            tenant_jobs=4,
            window=0,
            long_s=1800.0,
            remote=RemoteLimits(poll_s={"vendor": 5.0}),
            spending=SpendingLimits(),
            naming=NamingLimits(),
        ),
        temporary_dir=temporary_dir,
        clock=clock,
    )


@pytest.fixture
def submit(services: Services, tmp_path: Path) -> Callable[..., Job]:
    """Accept a copy of a file (the sample unless told otherwise) as a job of tenant acme."""

    def accept(source: Path = SAMPLE, *, idempotency_key: str | None = None, **options: object) -> Job:
        copy = tmp_path / "tmp" / "upload"
        shutil.copyfile(source, copy)
        content = copy.read_bytes()
        upload = Upload(copy, hashlib.sha256(content).hexdigest(), len(content), source.name)
        wanted = replace(SCRIPTED, **options)  # type: ignore[arg-type]  # names are checked by replace
        accepted = accept_job(services, Submission(upload, wanted, idempotency_key), CALLER)
        if accepted.is_new:
            start_job(services, accepted.job.job_id)
        return accepted.job

    return accept


@pytest.fixture
def pyannote() -> Iterator[PyannoteVendor]:
    vendor = PyannoteVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def replicate() -> Iterator[ReplicateVendor]:
    vendor = ReplicateVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def remote(services: Services, pyannote: PyannoteVendor, replicate: ReplicateVendor) -> Iterator[Services]:
    """Services with both vendors set up, polled every 5 s."""
    with serve(pyannote.app) as pyannote_served, serve(replicate.app) as replicate_served:
        diarizer = PyannoteDiarizer(
            PyannoteConnection(API_KEY, pyannote_served.url, 5.0),
            DiarizerCapabilities(
                PYANNOTE, "precision-2", usd_per_minute=0.002, max_voiceprints=50, terms=Terms(account="pyannote:test")
            ),
        )
        one_shot = ReplicateOneShot(
            ReplicateConnection(API_TOKEN, f"{replicate_served.url}/v1", timeout_s=5.0),
            TranscriberCapabilities(
                REPLICATE,
                "whisper-diarization",
                None,
                "ogg",
                usd_per_minute=0.002,
                terms=Terms(account="replicate:test"),
            ),
            usd_per_second=0.001,
        )
        maker = PyannoteVoiceprints(diarizer.connection, VoiceprintCapabilities(PYANNOTE, "precision-2"))
        limits = replace(services.limits, remote=RemoteLimits(poll_s={"pyannote": POLL_S, "replicate": POLL_S}))
        yield replace(
            services,
            diarizers={**services.diarizers, PYANNOTE: diarizer},
            one_shots={REPLICATE: one_shot},
            voiceprint_makers={"pyannote": maker},
            limits=limits,
        )
