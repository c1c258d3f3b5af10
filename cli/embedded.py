"""Erni's own stack on this host: settings in, running processes out. Joins the modules beside it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.data_dir_claim import claim_data_dir
from cli.interrupts import Interrupts
from cli.port_checks import check_ports, wanted_ports
from cli.processes import Command, Surroundings, parse_procfile
from cli.readiness import Readiness, probe_readiness
from cli.redis_server import find_redis_server
from cli.settings_text import render_environment
from cli.stack import Stack
from config.bootstrap import initialise
from config.settings import Settings, child_environment
from erni.errors import ConfigError

PROJECT_DIR = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class EmbeddedStack:
    """A stack that is ready. ``first_key`` is set only where this start made the first admin key."""

    stack: Stack
    api_url: str
    flower_url: str
    flower_password: str
    first_key: str | None


@contextmanager
def open_embedded_stack(
    settings: Settings, interrupts: Interrupts, on_probe: Callable[[Stack, Readiness], None]
) -> Iterator[EmbeddedStack]:
    """Start everything, wait until it is ready, and stop it all on leaving.

    Raises:
        ConfigError: a port is taken, another stack holds the data directory, or Redis is missing.
        StackFailed: it does not get ready.
    """
    data_dir = settings.data_dir.absolute()
    settings = settings.model_copy(update={"data_dir": data_dir})
    with claim_data_dir(data_dir):
        check_ports(wanted_ports(settings))
        commands = load_commands(settings)
        first_key = initialise(settings)
        password = _flower_password(settings)
        surroundings = Surroundings(PROJECT_DIR, data_dir / "logs", stack_environment(settings, password))
        stack = Stack(commands, surroundings, data_dir=data_dir, interrupts=interrupts, drain_s=settings.queue.drain_s)
        api_url = _local_url(settings.api.host, settings.api.port)
        try:
            stack.start()
            stack.wait_until_ready(
                lambda: probe_readiness(api_url), on_probe=lambda readiness: on_probe(stack, readiness)
            )
            flower_url = _local_url(settings.flower.host, settings.flower.port)
            yield EmbeddedStack(stack, api_url, flower_url, password, first_key)
        finally:
            stack.stop()


def load_commands(settings: Settings) -> tuple[Command, ...]:
    """The Procfile's commands, without ``redis`` where another server is named.

    Raises:
        ConfigError: the Procfile or a Redis server is missing.
    """
    try:
        text = (PROJECT_DIR / "Procfile").read_text()
    except OSError:
        raise ConfigError(f"No Procfile in {PROJECT_DIR}. Run `erni up` from a checkout of Erni.") from None
    commands = parse_procfile(text)
    if settings.redis.url is not None:
        return tuple(command for command in commands if command.name != "redis")
    find_redis_server()
    return commands


def stack_environment(settings: Settings, flower_password: str) -> dict[str, str]:
    """What every process gets: this environment, exactly these settings, and this Python first on PATH."""
    environment = child_environment(
        {**render_environment(settings), "ERNI_FLOWER__PASSWORD": flower_password, "PYTHONUNBUFFERED": "1"}
    )
    binaries = str(Path(sys.executable).parent)
    environment["PATH"] = f"{binaries}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment


def _flower_password(settings: Settings) -> str:
    if settings.flower.password is not None:
        return settings.flower.password.get_secret_value()
    return secrets.token_urlsafe(12)


def _local_url(host: str, port: int) -> str:
    """How this host reaches what listens there."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
