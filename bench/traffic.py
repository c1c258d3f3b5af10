"""What a job and a chunk ask of the stores: commands to Redis, statements to the records, bytes of blobs. Counted.

Jobs of one chunk and of many run on workers that count their statements. The cost is a straight line over the number
of chunks: its slope is a chunk's, its value at zero chunks a job's. What an idle stack asks anyway is taken off.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

import click
from redis import Redis

from bench.api_only import open_api
from bench.counting_worker import read_counts
from bench.efficiency import fit_line
from bench.engine import TimedEngine, open_engine
from bench.recordings import shuffle_sample
from cli.client import ErniClient
from cli.embedded import PROJECT_DIR, stack_environment
from cli.processes import signal_family
from cli.readiness import probe_readiness
from config.bootstrap import build_redis, build_services
from config.engine_settings import ScriptedSettings
from config.queue import QUEUES
from config.settings import Settings
from erni import blob_paths

LENGTHS_S: Final = (30.0, 400.0, 1200.0)
WARM_UP_S: Final = 480.0
IDLE_S: Final = 20.0
SETTLE_S: Final = 5.0
"""After a job some connections are looked after that it left idle."""
READY_LIMIT_S: Final = 120.0
END_LIMIT_S: Final = 30.0
POLL_S: Final = 0.1
HOUR_S: Final = 3600.0
LEAST_SHOWN: Final = 0.05
CHUNK_DIRECTORY: Final = "chunks"
DAY_S: Final = 24 * 3600


@dataclass(slots=True)
class Count:
    """What one run asked for. ``blobs`` are bytes by kind of blob."""

    chunks: int
    elapsed_s: float
    audio_s: float
    totals: dict[str, float]
    commands: dict[str, float]
    blobs: dict[str, int] = field(default_factory=dict)


def measure(sample: Path, directory: Path, lengths_s: Sequence[float] = LENGTHS_S) -> dict[str, Any]:
    """Slopes and intercepts of every total, the commands of a chunk by name, and the bytes of an hour of audio."""
    with open_engine() as engine:
        scripted = ScriptedSettings(url=engine.url, timeout_s=300.0)
        with open_api(directory / "traffic", scripted=scripted) as settings, _open_workers(settings, directory) as book:
            stores = _Stores(settings, book)
            recordings = [_make(sample, directory, length_s) for length_s in lengths_s]
            # Every process opens its connections at its first work.
            stores.run(_make(sample, directory, WARM_UP_S), engine)
            idle = stores.idle()
            runs = [stores.run(recording, engine) for recording in recordings]
    figures = summarise(runs, idle)
    _show(figures)
    return figures


def summarise(runs: Sequence[Count], idle: Count) -> dict[str, Any]:
    """The idle stack's share is its rate times each run's length."""
    for run in runs:
        share = run.elapsed_s / idle.elapsed_s
        for counts, rest in ((run.totals, idle.totals), (run.commands, idle.commands)):
            counts.update({name: max(0.0, counts[name] - share * rest.get(name, 0.0)) for name in counts})
    longest = max(runs, key=lambda run: run.audio_s)
    return {
        "runs": [{"chunks": run.chunks, "audio_s": run.audio_s, "totals": _rounded(run.totals)} for run in runs],
        "idle_per_s": {name: round(count / idle.elapsed_s, 1) for name, count in idle.totals.items()},
        "totals": {name: _line(runs, name) for name in longest.totals},
        "commands_per_chunk": _commands_per_chunk(runs),
        "blob_bytes_per_hour": {
            kind: round(size * HOUR_S / longest.audio_s) for kind, size in sorted(longest.blobs.items())
        },
    }


def blob_kind(path: str) -> str:
    """``source``, ``audio.flac`` …; a chunk's blobs by their suffix: ``chunks/*.flac``."""
    place = PurePosixPath(path)
    return f"{CHUNK_DIRECTORY}/*{place.suffix}" if place.parent.name == CHUNK_DIRECTORY else place.name


class _Stores:
    """The three stores of a running stack, to be read before and after a job."""

    def __init__(self, settings: Settings, book: Path) -> None:
        if settings.admin_key is None:
            raise RuntimeError("the demo's settings carry a key")
        self._book = book
        self._key = settings.admin_key.get_secret_value()
        self._url = f"http://127.0.0.1:{settings.api.port}"
        self._redis = build_redis(settings)
        self._jobs = build_services(settings).jobs
        self._blobs = settings.data_dir / "blobs"

    def idle(self) -> Count:
        time.sleep(SETTLE_S)
        before = self._read()
        time.sleep(IDLE_S)
        return self._since(before, chunks=0, audio_s=0.0)

    def run(self, recording: Path, engine: TimedEngine) -> Count:
        """Waits by the records alone: questions to the API would be counted too."""
        kept = read_kept(self._redis)
        before = self._read()
        with ErniClient(self._url, self._key) as client:
            job_id = client.submit(recording, {"language": "en", "engine": "scripted"})["id"]
        with _watch_sizes(self._blobs / blob_paths.job_root(job_id)) as sizes:
            while not (job := self._jobs.get(job_id)).status.is_over:
                time.sleep(POLL_S)
        if job.status != "succeeded":
            raise RuntimeError(f"{recording.name}: {job.status}: {job.failure}")
        engine.take_calls()
        count = self._since(before, chunks=job.chunks_total or 0, audio_s=job.duration_s or 0.0)
        count.totals |= _difference(read_kept(self._redis), kept)
        for path, size in sizes.items():
            count.blobs[blob_kind(path)] = count.blobs.get(blob_kind(path), 0) + size
        return count

    def _read(self) -> tuple[float, dict[str, float], dict[str, float]]:
        statistics: dict[str, Any] = self._redis.info("stats")
        processor: dict[str, Any] = self._redis.info("cpu")
        totals = {
            "redis_commands": float(statistics["total_commands_processed"]),
            "redis_bytes_in": float(statistics["total_net_input_bytes"]),
            "redis_bytes_out": float(statistics["total_net_output_bytes"]),
            "redis_cpu_ms": 1000 * (float(processor["used_cpu_user"]) + float(processor["used_cpu_sys"])),
            **{name: float(count) for name, count in read_counts(self._book).items()},
        }
        return time.monotonic(), totals, read_commands(self._redis)

    def _since(self, before: tuple[float, dict[str, float], dict[str, float]], *, chunks: int, audio_s: float) -> Count:
        after = self._read()
        totals, commands = (_difference(new, old) for new, old in zip(after[1:], before[1:], strict=True))
        return Count(chunks, after[0] - before[0], audio_s, totals, commands)


def read_commands(redis: Redis) -> dict[str, float]:
    """Calls since the server's start, by command."""
    statistics = cast("dict[str, dict[str, Any]]", redis.info("commandstats"))
    return {name.removeprefix("cmdstat_"): float(entry["calls"]) for name, entry in statistics.items()}


def read_kept(redis: Redis) -> dict[str, float]:
    """Bytes of all keys that expire, and the same times the days they live: what a daily load adds up to."""
    kept = {"redis_bytes_kept": 0.0, "redis_byte_days_kept": 0.0}
    for key in redis.scan_iter(count=1000):
        size, life_s = redis.memory_usage(key, samples=0) or 0, redis.ttl(key)
        if life_s > 0:
            kept["redis_bytes_kept"] += size
            kept["redis_byte_days_kept"] += size * life_s / DAY_S
    return kept


@contextmanager
def _open_workers(settings: Settings, directory: Path) -> Iterator[Path]:
    """A counting worker for each queue; yields the directory of their counts."""
    book = directory / "counts"
    book.mkdir()
    command = [sys.executable, "-m", "bench.counting_worker", str(book)]
    environment = stack_environment(settings, flower_password="unused")  # noqa: S106  # no Flower runs
    with (directory / "workers.log").open("wb") as log:
        workers = [
            subprocess.Popen(
                [*command, "-Q", queue, "-n", f"{queue}@%h"],
                cwd=PROJECT_DIR,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for queue in QUEUES
        ]
    try:
        _wait_until_ready(f"http://127.0.0.1:{settings.api.port}")
        yield book
    finally:
        for worker in workers:
            worker.terminate()
        _wait_for_end(workers)


def _wait_for_end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """What does not end in time is killed with its pool."""
    deadline_s = time.monotonic() + END_LIMIT_S
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(max(0.0, deadline_s - time.monotonic()))
        signal_family(worker.pid, signal.SIGKILL)
        worker.wait()


def _wait_until_ready(api_url: str) -> None:
    deadline_s = time.monotonic() + READY_LIMIT_S
    while not (readiness := probe_readiness(api_url)).is_ready:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"not ready: {dict(readiness.missing)}")
        time.sleep(POLL_S)


@contextmanager
def _watch_sizes(root: Path) -> Iterator[dict[str, int]]:
    """Every file that is ever below ``root`` meanwhile, with its size: chunks' blobs are gone when a job is over."""
    sizes: dict[str, int] = {}
    is_over = threading.Event()

    def look() -> None:
        for file in root.rglob("*"):
            try:
                if file.is_file() and not file.name.startswith("."):
                    sizes[file.relative_to(root).as_posix()] = file.stat().st_size
            except FileNotFoundError:
                continue

    def look_again_and_again() -> None:
        while not is_over.wait(POLL_S):
            look()

    watcher = threading.Thread(target=look_again_and_again, name="sizes", daemon=True)
    watcher.start()
    try:
        yield sizes
    finally:
        is_over.set()
        watcher.join()
        look()


def _make(sample: Path, directory: Path, length_s: float) -> Path:
    recording = directory / f"traffic-{length_s:.0f}.flac"
    shuffle_sample(sample, length_s, recording)
    return recording


def _difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: count - before.get(name, 0.0) for name, count in after.items()}


def _rounded(counts: Mapping[str, float]) -> dict[str, int]:
    return {name: round(count) for name, count in counts.items()}


def _line(runs: Sequence[Count], name: str) -> dict[str, float]:
    slope, intercept = fit_line([(run.chunks, run.totals.get(name, 0.0)) for run in runs])
    return {"per_chunk": round(slope, 1), "per_job": round(intercept, 1)}


def _commands_per_chunk(runs: Sequence[Count]) -> dict[str, float]:
    """The dearest first."""
    names = {name for run in runs for name in run.commands}
    calls = {name: fit_line([(run.chunks, run.commands.get(name, 0.0)) for run in runs])[0] for name in names}
    dearest_first = sorted(calls.items(), key=lambda entry: -entry[1])
    return {name: round(rate, 1) for name, rate in dearest_first if rate >= LEAST_SHOWN}


def _show(figures: dict[str, Any]) -> None:
    for name, line in figures["totals"].items():
        click.echo(f"traffic   {name}: {line['per_chunk']:g} per chunk, {line['per_job']:g} per job")
    click.echo(f"          commands of a chunk: {figures['commands_per_chunk']}")
    click.echo(f"          blobs, bytes per hour of audio: {figures['blob_bytes_per_hour']}")
