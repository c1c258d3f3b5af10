"""The API and its Redis without workers: what is measured is the API, not what it shares a small host with."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cli.demo import demo_settings
from cli.embedded import PROJECT_DIR, stack_environment
from config.bootstrap import initialise
from config.settings import Settings, load_settings

START_TIMEOUT_S = 30.0


@contextmanager
def open_api(data_dir: Path, **groups: object) -> Iterator[Settings]:
    """Both under the settings of a stack, of which ``groups`` replace whole groups; yields them."""
    data_dir.mkdir()
    settings = demo_settings(load_settings(), data_dir).model_copy(update=groups)
    initialise(settings)
    environment = stack_environment(settings, flower_password="unused")  # noqa: S106  # no Flower runs
    commands = (
        [sys.executable, "-m", "cli.redis_server"],
        [sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py", "api.wsgi:app"],
    )
    with (data_dir / "log").open("wb") as log:
        servers = [
            subprocess.Popen(command, cwd=PROJECT_DIR, env=environment, stdout=log, stderr=log) for command in commands
        ]
    try:
        wait_for(f"http://127.0.0.1:{settings.api.port}/livez")
        yield settings
    finally:
        for server in reversed(servers):
            server.terminate()
            server.wait(START_TIMEOUT_S)


def wait_for(url: str) -> None:
    """Raises RuntimeError when nothing answers there in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} did not start")
