from __future__ import annotations

import pytest

from cli.port_checks import free_ports
from cli.readiness import probe_readiness


def test_unready_answer_names_the_missing_probes_although_it_is_an_error_status(server, answer):
    probes = {"records": {"ok": True, "detail": ""}, "queue:diarize": {"ok": False, "detail": "loading"}}
    server.will("GET", "/readyz", answer(503, {"status": "unavailable", "probes": probes}))
    readiness = probe_readiness(server.url)
    assert not readiness.is_ready
    assert readiness.present == {"records"}
    assert readiness.missing == {"queue:diarize": "loading"}


def test_degraded_is_not_ready(server, answer):
    server.will("GET", "/readyz", answer(200, {"status": "degraded", "probes": {}}))
    assert not probe_readiness(server.url).is_ready


@pytest.mark.parametrize("body", [b"<html>", {"something": "else"}])
def test_answer_of_something_else_counts_as_no_answer(server, answer, body):
    server.will("GET", "/readyz", answer(200, body))
    assert probe_readiness(server.url).missing == {"api": "does not answer yet"}


def test_absent_api_counts_as_no_answer():
    assert probe_readiness(f"http://127.0.0.1:{free_ports(1)[0]}").missing == {"api": "does not answer yet"}
