"""Whether the process lives and the service can work. Open to anyone who reaches the port, so terse."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api.readiness import build_probes, run_probes, summarise
from api.runtime import current_runtime
from erni.steps.probing import upcoming_retirements

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def show_liveness() -> Response:
    """The process answers; asks nothing of anyone else."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def show_readiness() -> tuple[Response, int]:
    """503 without a store that is required, else 200, ``degraded`` while a queue has no worker.

    Warnings name engines that end within three months, or have ended; they change no status.
    """
    runtime = current_runtime()
    findings = run_probes(build_probes(runtime))
    status = summarise(findings)
    probes = {finding.name: {"ok": finding.is_ok, "detail": finding.detail} for finding in findings}
    warnings = [retirement.sentence for retirement in upcoming_retirements(runtime.services)]
    return jsonify(status=status, probes=probes, warnings=warnings), 503 if status == "unavailable" else 200
