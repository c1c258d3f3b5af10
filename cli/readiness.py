"""Asks a stack's API what it still waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether everything answers, what does, and what does not (probe -> why)."""

    is_ready: bool
    present: frozenset[str] = frozenset()
    missing: Mapping[str, str] = field(default_factory=dict)


def probe_readiness(api_url: str) -> Readiness:
    """Ask ``/readyz`` once. A server that does not answer yet is not an error."""
    try:
        answer = httpx.get(f"{api_url}/readyz", timeout=ANSWER_TIMEOUT_S, trust_env=False)
        body = answer.json()
        probes = body["probes"]
    except (httpx.TransportError, ValueError, KeyError):
        return Readiness(is_ready=False, missing={"api": "does not answer yet"})
    return Readiness(
        is_ready=body["status"] == "ready",
        present=frozenset(name for name, probe in probes.items() if probe["ok"]),
        missing={name: probe.get("detail", "") for name, probe in probes.items() if not probe["ok"]},
    )
