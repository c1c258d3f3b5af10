"""``POST /v1/jobs`` beside a bare handler under the same server, and the latency of small requests."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx

from bench.api_only import open_api, wait_for
from cli.port_checks import free_ports
from config.settings import Settings, child_environment

LARGE_BYTES = 10 * 1000 * 1000
SMALL_BYTES = 100 * 1000
LARGE_RUNS = 30
AT_ONCE = 10
SMALL_REQUESTS = 600
WARM_UP_REQUESTS = 100
STATUS_REQUESTS = 300


def measure(directory: Path) -> dict[str, Any]:
    """Milliseconds: medians of large uploads beside the bare handler's, 95th percentiles of small requests."""
    with open_api(directory / "api") as settings, _serve_bare(settings, directory) as bare_url:
        url, headers = f"http://127.0.0.1:{settings.api.port}/v1/jobs", _authorise(settings)
        figures: dict[str, Any] = {
            kind: _compare(kind, _make_post(url, kind, headers), _make_post(bare_url, kind, {}))
            for kind in ("raw", "multipart")
        }
        figures["small_p95_ms"] = _measure_small(url, headers)
        figures["status_p95_ms"] = _measure_status(url, headers)
    return figures


def _authorise(settings: Settings) -> dict[str, str]:
    if settings.admin_key is None:
        raise RuntimeError("the demo's settings carry a key")
    return {"Authorization": f"Bearer {settings.admin_key.get_secret_value()}"}


@contextmanager
def _serve_bare(settings: Settings, directory: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    api = settings.api
    command = [sys.executable, "-m", "gunicorn", "bench.bare:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--workers", str(api.workers), "--threads", str(api.threads)]
    server = subprocess.Popen(
        [*command, "--log-level", "error"],
        cwd=Path(__file__).parent.parent,
        env=child_environment({"TMPDIR": str(directory)}),
    )
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _make_post(url: str, kind: str, headers: dict[str, str]) -> Callable[[bytes], None]:
    """A function that posts a body, over one connection of the calling thread's own."""
    connections = threading.local()
    path = urlsplit(url).path or "/"

    def post(content: bytes) -> None:
        if not hasattr(connections, "http"):
            connections.http = HTTPConnection(urlsplit(url).netloc, timeout=60)
        body, content_type = (content, "audio/wav") if kind == "raw" else encode_form(content)
        connections.http.request("POST", path, body, {**headers, "Content-Type": content_type})
        answer = connections.http.getresponse()
        answer.read()
        if answer.status != HTTPStatus.ACCEPTED:
            raise RuntimeError(f"{url} answered {answer.status}")

    return post


def encode_form(content: bytes) -> tuple[bytes, str]:
    """The body and content type of a form with one file."""
    boundary = "erni-bench-boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


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


def _measure_small(url: str, headers: dict[str, str]) -> float:
    post = _make_post(url, "raw", headers)

    def timed(_: int) -> float:
        content = os.urandom(SMALL_BYTES)
        started = time.perf_counter()
        post(content)
        return (time.perf_counter() - started) * 1000

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(timed, range(WARM_UP_REQUESTS)))  # every thread of the server opens its connections once
        p95 = _percentile_95(list(pool.map(timed, range(SMALL_REQUESTS))))
    click.echo(f"uploads   100 KB, {AT_ONCE} at once: {p95:.1f} ms at the 95th percentile")
    return p95


def _measure_status(url: str, headers: dict[str, str]) -> float:
    with httpx.Client(headers=headers) as http:
        job_id = http.get(url, params={"limit": 1}).json()["jobs"][0]["id"]
        taken = []
        for _ in range(STATUS_REQUESTS):
            started = time.perf_counter()
            http.get(f"{url}/{job_id}").raise_for_status()
            taken.append((time.perf_counter() - started) * 1000)
    p95 = _percentile_95(taken)
    click.echo(f"uploads   status of a job: {p95:.1f} ms at the 95th percentile")
    return p95


def _percentile_95(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=20)[-1], 1)
