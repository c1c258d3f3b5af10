"""Which server a command talks to, and with which key. Knows the settings and the REST client only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.client import ErniClient
from config.settings import load_settings

Command = Callable[..., Any]


def server_options(command: Command) -> Command:
    """``--url`` and ``--key``, which fall back to the settings."""
    url = click.option("--url", help="Base URL of the server.  [default: ERNI_CLIENT__URL, else this host]")
    key = click.option("--key", help="API key.  [default: ERNI_CLIENT__KEY]")
    return url(key(command))


def connect(url: str | None, key: str | None) -> ErniClient:
    settings = load_settings()
    configured = settings.client.key.get_secret_value() if settings.client.key is not None else None
    return ErniClient(url or settings.api_url, key or configured)
