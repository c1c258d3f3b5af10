"""`erni engines`: what a server can transcribe and diarize with, and how that does."""

from __future__ import annotations

from typing import Any, Final

import click
from rich.table import Table

from cli.server_options import connect, server_options
from cli.terminal import print_table

MINUTES_PER_HOUR: Final = 60


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Show those that want a key first, too.")
@server_options
def engines(url: str | None, key: str | None, *, show_all: bool) -> None:
    """List the engines, their prices and how they do."""
    table = Table("engine", "kind", "$/hour", "limit/min", "ends", "health", "24 h", "30 d")
    with connect(url, key) as client:
        for engine in client.engines():
            if engine["configured"] or show_all:
                table.add_row(*_describe(engine))
    print_table(table)


def _describe(engine: dict[str, Any]) -> tuple[str, ...]:
    health = engine["health"] or {}
    availability = health.get("availability") or {}
    return (
        engine["name"] + (" (default)" if engine["default"] else ""),
        engine["kind"],
        "" if engine["local"] else f"{MINUTES_PER_HOUR * engine['price']['usd_per_minute']:.2f}",
        str(engine["limits"]["requests_per_minute"] or ""),
        engine["retirement"]["on"] or "",
        _describe_health(engine, health),
        *(_percent(availability.get(span)) for span in ("24h", "30d")),
    )


def _describe_health(engine: dict[str, Any], health: dict[str, Any]) -> str:
    if not engine["configured"]:
        return "not set up"
    if engine["retirement"]["retired"]:
        return "ended"
    if not health:
        return "local" if engine["local"] else "unknown"
    if health["breaker"]["state"] != "closed":
        return f"breaker {health['breaker']['state'].replace('_', ' ')}"
    probe = health["probe"]
    if probe is None:
        return "not probed"
    return f"up, {probe['latency_s']:.2f} s" if probe["ok"] else f"down: {probe['failure']}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
