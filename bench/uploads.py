"""``POST /v1/jobs`` beside a bare handler under the same server, and the latency of small requests."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from bench.stack import BenchStack
from cli.port_checks import free_ports

LARGE_BYTES = 10 * 1000 * 1000
SMALL_BYTES = 100 * 1000
LARGE_RUNS = 30
AT_ONCE = 10
SMALL_REQUESTS = 300
STATUS_REQUESTS = 300


def measure(stack: BenchStack, directory: Path) -> dict[str, Any]:
    """Milliseconds: medians of large uploads beside the bare handler's, 95th percentiles of small requests.

    What is sent is noise, so that no worker spends time on it: its job fails while it is decoded.
    """
    figures: dict[str, Any] = {}
    headers = {"Authorization": f"Bearer {stack.key}"}
    with httpx.Client(timeout=60.0) as http, _serve_bare(stack, directory) as bare_url:
        for kind in ("raw", "multipart"):
            ours = _make_post(http, f"{stack.api_url}/v1/jobs", kind, headers)
            bare = _make_post(http, bare_url, kind, {})
            figures[kind] = _compare(kind, ours, bare)
    figures["small_p95_ms"] = _measure_small(stack, headers)
    figures["status_p95_ms"] = _measure_status(stack, headers)
    return figures


@contextmanager
def _serve_bare(stack: BenchStack, directory: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    api = stack.settings.api
    command = [sys.executable, "-m", "gunicorn", "bench.bare:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--workers", str(api.workers), "--threads", str(api.threads)]
    server = subprocess.Popen(
        [*command, "--log-level", "error"],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    try:
        _wait(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.post(url, content=b"x")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} did not start")


def _make_post(http: httpx.Client, url: str, kind: str, headers: dict[str, str]) -> Callable[[bytes], None]:
    def post(content: bytes) -> None:
        if kind == "raw":
            answer = http.post(url, content=content, headers={**headers, "Content-Type": "audio/wav"})
        else:
            answer = http.post(url, files={"file": ("a.wav", content)}, headers=headers)
        answer.raise_for_status()

    return post


def _compare(kind: str, ours: Callable[[bytes], None], bare: Callable[[bytes], None]) -> dict[str, Any]:
    """Both in turn, so that what else the machine does meets both."""
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(LARGE_RUNS):
        content = os.urandom(LARGE_BYTES)
        for name, post in (("ours", ours), ("bare", bare)):
            started = time.perf_counter()
            post(content)
            taken[name].append((time.perf_counter() - started) * 1000)
            time.sleep(0.15)
    ours_ms, bare_ms = statistics.median(taken["ours"]), statistics.median(taken["bare"])
    click.echo(
        f"uploads   10 MB {kind}: {ours_ms:.1f} ms, a bare handler {bare_ms:.1f} ms: {ours_ms / bare_ms:.2f} times"
    )
    return {"ours_ms": round(ours_ms, 1), "bare_ms": round(bare_ms, 1), "ratio": round(ours_ms / bare_ms, 2)}


def _measure_small(stack: BenchStack, headers: dict[str, str]) -> float:
    with httpx.Client(timeout=60.0) as http:
        post = _make_post(http, f"{stack.api_url}/v1/jobs", "raw", headers)

        def timed(_: int) -> float:
            content = os.urandom(SMALL_BYTES)
            started = time.perf_counter()
            post(content)
            return (time.perf_counter() - started) * 1000

        with ThreadPoolExecutor(AT_ONCE) as pool:
            taken = sorted(pool.map(timed, range(SMALL_REQUESTS)))
    p95 = taken[int(len(taken) * 0.95)]
    click.echo(f"uploads   100 KB, {AT_ONCE} at once: {p95:.1f} ms at the 95th percentile")
    return round(p95, 1)


def _measure_status(stack: BenchStack, headers: dict[str, str]) -> float:
    with httpx.Client(base_url=stack.api_url, headers=headers) as http:
        job_id = http.get("/v1/jobs", params={"limit": 1}).json()["jobs"][0]["id"]
        taken = []
        for _ in range(STATUS_REQUESTS):
            started = time.perf_counter()
            http.get(f"/v1/jobs/{job_id}").raise_for_status()
            taken.append((time.perf_counter() - started) * 1000)
    p95 = sorted(taken)[int(len(taken) * 0.95)]
    click.echo(f"uploads   status of a job: {p95:.1f} ms at the 95th percentile")
    return round(p95, 1)
