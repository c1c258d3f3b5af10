"""Voiceprints made by pyannote.ai's stand-in: what is submitted, what is paid, and when the vendor is given up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from erni.capabilities import Terms, VoiceprintCapabilities
from erni.engine_ports import EmbeddingRequest
from erni.engines.pyannote import PyannoteVoiceprints
from erni.engines.pyannote_connection import PyannoteConnection
from erni.engines.scripted import ScriptedChunkedDiarizer
from erni.errors import WorkPostponed
from erni.keys import ApiKey, hash_token
from erni.media.excerpts import write_excerpt
from erni.model import Span
from erni.services import RemoteLimits, Services
from erni.steps.accepting import Upload
from erni.steps.enrolling import Enrolment, accept_enrolment, enrol_voiceprint
from erni.steps.voice_vendors import MOST_SUBMISSIONS
from erni.voiceprints import Making, Voiceprint
from erni.voices import Voices
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.pyannote import API_KEY, PyannoteVendor
from vendors.server import serve

SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"
PYANNOTE = "pyannote/precision-2"
LOCAL = "scripted/script"
USD_PER_MINUTE = 0.6
POLL_S = 5.0
KEY = ApiKey("payer", "acme", "user", hash_token("erni_payer"), datetime(2026, 1, 1, tzinfo=UTC), monthly_usd=10.0)


def hear(request: EmbeddingRequest) -> Voices:
    """One voice."""
    starts = np.concatenate([np.arange(span.start_s, span.end_s, 0.6) for span in request.speech])
    windows = np.stack([starts, starts + 0.6], axis=1)
    return Voices("scripted", "script", windows, np.eye(1, 64, dtype=np.float32).repeat(len(starts), axis=0))


@pytest.fixture
def vendor() -> Iterator[PyannoteVendor]:
    vendor = PyannoteVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def services(services: Services, vendor: PyannoteVendor) -> Iterator[Services]:
    """With a voice model of the installation's own, and the vendor's, which is polled every 5 s."""
    terms = Terms(account="pyannote:test", requests_per_minute=1000)
    capabilities = VoiceprintCapabilities(PYANNOTE, "precision-2", USD_PER_MINUTE, 20.0, terms)
    limits = replace(services.limits, remote=RemoteLimits(poll_s={"pyannote": POLL_S}, longest_s=600.0))
    with serve(vendor.app) as served:
        maker = PyannoteVoiceprints(PyannoteConnection(API_KEY, served.url, 5.0), capabilities)
        yield replace(
            services,
            diarizers={"scripted": ScriptedChunkedDiarizer(hear)},
            voiceprint_makers={"pyannote": maker},
            limits=limits,
        )


@pytest.fixture
def enrol(services: Services, tmp_path: Path) -> Callable[..., Voiceprint]:
    """Accept the first turn of the sample as a voice, for a key with a cap."""
    services.keys.add_key(KEY)

    def accept() -> Voiceprint:
        turn = json.loads(SAMPLE.with_suffix(".json").read_text())["turns"][1]
        upload = tmp_path / "tmp" / "upload.flac"
        write_excerpt(SAMPLE, [Span(turn["start_s"], turn["end_s"])], upload)
        source = Upload(upload, "digest", upload.stat().st_size, "voice.flac")
        return accept_enrolment(services, Enrolment("Anna", "signed on paper", source), KEY)

    return accept


Enrol = Callable[..., Voiceprint]


def run(services: Services, voiceprint: Voiceprint, *, most: int = 50) -> Voiceprint:
    """Do what the worker does each time the message comes back, until the voiceprint is over."""
    for _ in range(most):
        try:
            enrol_voiceprint(services, voiceprint.voiceprint_id)
        except WorkPostponed:
            time.sleep(0.01)
            continue
        return services.voiceprints.get(voiceprint.voiceprint_id)
    raise AssertionError("the voiceprint is pending after all")


def submissions(vendor: PyannoteVendor) -> int:
    return sum(seen.path == "/v1/voiceprint" for seen in vendor.faults.received)


def calls_on_the_ledger(services: Services) -> int:
    now = services.clock()
    return sum(row.calls for row in services.ledger.sum_usage("acme", now - timedelta(days=1), now + timedelta(days=1)))


def test_voice_is_made_and_paid_once(services: Services, enrol: Enrol, vendor: PyannoteVendor) -> None:
    done = run(services, enrol())
    assert (done.status, done.engines, done.reason) == ("ready", (PYANNOTE, LOCAL), None)
    assert submissions(vendor) == 1
    now = services.clock()
    (usage,) = services.ledger.sum_usage("acme", now - timedelta(days=1), now + timedelta(days=1))
    assert (usage.key_id, usage.engine, usage.model, usage.calls) == ("payer", PYANNOTE, "precision-2", 1)
    assert usage.audio_s < 20.0
    assert usage.usd == pytest.approx(USD_PER_MINUTE * 20 / 60)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("lost", path="/v1/voiceprint"), id="no answer"),
        pytest.param(Fault("garbage", path="/v1/voiceprint"), id="unreadable id"),
        pytest.param(Fault(status=404, path="/v1/jobs"), id="unknown job"),
    ],
)
def test_vendor_whose_answers_are_lost_is_paid_a_few_times_at_most(
    services: Services, enrol: Enrol, vendor: PyannoteVendor, fault: Fault
) -> None:
    vendor.faults.order(fault, 1000)
    done = run(services, enrol())
    assert submissions(vendor) == MOST_SUBMISSIONS
    assert (done.status, done.engines) == ("ready", (LOCAL,))
    assert "submitted 3 times" in (done.reason or "")
    assert calls_on_the_ledger(services) == MOST_SUBMISSIONS


def test_voice_no_other_engine_knows_fails_with_the_vendors_reason(
    services: Services, enrol: Enrol, vendor: PyannoteVendor
) -> None:
    vendor.faults.order(Fault("lost", path="/v1/voiceprint"), 1000)
    done = run(replace(services, diarizers={}), enrol())
    assert (done.status, done.engines) == ("failed", ())
    assert "submitted 3 times" in (done.reason or "")


def test_submission_a_worker_died_in_counts(services: Services, enrol: Enrol, vendor: PyannoteVendor) -> None:
    voiceprint = enrol()
    services.voiceprints.put_making(
        voiceprint.voiceprint_id, PYANNOTE, Making(MOST_SUBMISSIONS, services.clock(), remote_id=None)
    )
    assert run(services, voiceprint).engines == (LOCAL,)
    assert submissions(vendor) == 0


def test_key_that_has_nothing_left_enrols_without_the_vendor(
    services: Services, enrol: Enrol, vendor: PyannoteVendor
) -> None:
    voiceprint = enrol()
    services.keys.set_monthly_cap(KEY.key_id, 0.0)
    done = run(services, voiceprint)
    assert (done.status, done.engines) == ("ready", (LOCAL,))
    assert "may spend $0 in a month" in (done.reason or "")
    assert vendor.faults.received == ()


def test_vendor_that_is_out_costs_nothing_is_left_alone_and_asked_again(
    services: Services, enrol: Enrol, vendor: PyannoteVendor
) -> None:
    vendor.faults.order(Fault(status=503, path="/v1/voiceprint"), 1000)
    voiceprint = enrol()
    for _ in range(6):
        with pytest.raises(WorkPostponed):
            enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert submissions(vendor) == 3, "the breaker opens after three failures"
    assert calls_on_the_ledger(services) == 0
    assert services.voiceprints.find_making(voiceprint.voiceprint_id, PYANNOTE).submissions == 0


def test_job_that_failed_over_there_is_not_paid(services: Services, enrol: Enrol, vendor: PyannoteVendor) -> None:
    vendor.jobs.order_end("failed", "Audio has several speakers")
    done = run(services, enrol())
    assert (done.status, done.engines) == ("ready", (LOCAL,))
    assert "Audio has several speakers" in (done.reason or "")
    assert calls_on_the_ledger(services) == 0


@pytest.mark.parametrize("has_deadline", [False, True])
def test_vendors_job_that_never_ends_is_given_up(
    services: Services, enrol: Enrol, vendor: PyannoteVendor, clock: object, *, has_deadline: bool
) -> None:
    vendor.jobs.pace_s = 30.0
    voiceprint = enrol()
    with pytest.raises(WorkPostponed) as waiting:
        enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert waiting.value.retry_after_s == POLL_S
    limits = services.limits
    if has_deadline:
        services = replace(services, limits=replace(limits, remote=replace(limits.remote, longest_s=1e6)))
    passed_s = limits.deadline_s if has_deadline else limits.remote.longest_s
    clock.now += timedelta(seconds=passed_s + 1)  # type: ignore[attr-defined]  # Clock
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    done = services.voiceprints.get(voiceprint.voiceprint_id)
    assert (done.status, done.engines) == ("ready", (LOCAL,))
    assert "did not make the voiceprint in time" in (done.reason or "")


def test_vendor_that_cannot_be_reached_while_its_job_runs_is_given_up_as_well(
    services: Services, enrol: Enrol, vendor: PyannoteVendor, clock: object
) -> None:
    voiceprint = enrol()
    vendor.faults.order(Fault(status=503, path="/v1/jobs"), 1000)
    with pytest.raises(WorkPostponed):
        enrol_voiceprint(services, voiceprint.voiceprint_id)
    clock.now += timedelta(seconds=services.limits.remote.longest_s + 1)  # type: ignore[attr-defined]  # Clock
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert services.voiceprints.get(voiceprint.voiceprint_id).status == "ready"
    assert submissions(vendor) == 1
