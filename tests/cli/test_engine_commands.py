from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main


@pytest.fixture
def run(server, monkeypatch):
    """Calls ``erni`` against the loopback server."""
    monkeypatch.setenv("ERNI_CLIENT__URL", server.url)
    monkeypatch.setenv("ERNI_CLIENT__KEY", "the-key")

    def call(*arguments: str):
        return CliRunner().invoke(main, arguments)

    return call


def engine(name: str, **changes: Any) -> dict[str, Any]:
    health = {
        "breaker": {"state": "closed", "failures": 0, "rest_s": 0.0},
        "account": {"closed_s": 0.0, "in_flight": 0, "waiting": 0},
        "probe": {"at": "2026-12-01T09:30:00.000Z", "ok": True, "latency_s": 0.25, "failure": None},
        "availability": {"24h": 1.0, "30d": 0.9987},
    }
    return {
        "name": name,
        "kind": "transcriber",
        "configured": True,
        "default": False,
        "local": False,
        "limits": {"requests_per_minute": 500, "concurrency": None},
        "price": {"usd_per_minute": 0.006},
        "retirement": {"on": "2027-02-26", "retired": False},
        "health": health,
        **changes,
    }


def without(part: str, **changes: Any) -> dict[str, Any]:
    """Health whose ``part`` is otherwise."""
    health: dict[str, Any] = engine("any")["health"]
    return health | {part: changes or None}


def test_engine_is_shown_with_price_limit_end_and_health(run, server, answer):
    server.will("GET", "/v1/engines", answer(200, {"engines": [engine("openai/whisper-1", default=True)]}))
    result = run("engines")
    (row,) = [line for line in result.output.splitlines() if "whisper-1" in line]
    told = [cell.strip() for cell in row.split("│")[1:-1]]
    ends = ["0.36", "500", "2027-02-26", "up, 0.25 s", "100.00%", "99.87%"]
    assert told == ["openai/whisper-1 (default)", "transcriber", *ends]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"local": True, "health": None}, "local"),
        ({"health": None}, "unknown"),
        ({"health": without("breaker", state="half_open")}, "breaker half open"),
        ({"health": without("probe")}, "not probed"),
        ({"health": without("probe", ok=False, failure="no_answer")}, "down: no_answer"),
        ({"retirement": {"on": "2026-01-01", "retired": True}}, "ended"),
    ],
)
def test_health_is_told_in_a_word_or_two(run, server, answer, changes, told):
    server.will("GET", "/v1/engines", answer(200, {"engines": [engine("vendor/model", **changes)]}))
    assert told in run("engines").output


def test_engines_that_want_a_key_first_are_shown_when_asked_for(run, server, answer):
    server.will("GET", "/v1/engines", answer(200, {"engines": [engine("vendor/model", configured=False)]}))
    assert "vendor/model" not in run("engines").output
    assert "not set up" in run("engines", "--all").output
