"""A submission sent again is answered with its job, whatever has happened since; another one under its key is not."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from erni.capabilities import TranscriberCapabilities
from erni.engines.scripted import ScriptedTranscriber
from erni.errors import InvalidOption, SpendingCapReached
from erni.jobs import JobOptions
from erni.keys import ApiKey
from erni.options import ALL_VOICEPRINTS
from erni.services import Services, SpendingLimits
from erni.steps.accepting import Acceptance, Submission, Upload, accept_job
from erni.voiceprints import Voiceprint

Submit = Callable[..., Acceptance]
CALLER = ApiKey("key", "acme", "user", "hash", datetime(2026, 1, 1, tzinfo=UTC))
SCRIPTED = JobOptions(engine="scripted", diarizer="scripted")
ADA, BOB = "a" * 32, "b" * 32


@pytest.fixture
def send(tmp_path: Path) -> Submit:
    """Send a recording under one idempotency key."""

    def accept(services: Services, content: bytes = b"sound", **options: object) -> Acceptance:
        file = tmp_path / "tmp" / uuid.uuid4().hex
        file.write_bytes(content)
        upload = Upload(file, hashlib.sha256(content).hexdigest(), len(content), "monday.flac")
        wanted = replace(SCRIPTED, **options)  # type: ignore[arg-type]  # names are checked by replace
        return accept_job(services, Submission(upload, wanted, "monday"), CALLER)

    return accept


@pytest.fixture
def voices(services: Services) -> Services:
    """Two known voices."""
    for voiceprint_id, name in ((ADA, "Ada"), (BOB, "Bob")):
        services.voiceprints.add(Voiceprint(voiceprint_id, "acme", name, "yes", "ready", services.clock()))
    return services


@pytest.fixture
def paid(services: Services) -> Services:
    """The engine costs money."""
    vendor = TranscriberCapabilities("scripted", "script", languages=None, usd_per_minute=0.1)
    return replace(services, transcribers={"scripted": ScriptedTranscriber(lambda _: (), vendor)})


@pytest.fixture
def broke(paid: Services) -> Services:
    """As ``paid``, with nothing left to spend."""
    return replace(paid, limits=replace(paid.limits, spending=SpendingLimits(key_month_usd=0.0)))


def test_a_key_that_has_spent_its_month_still_gets_its_earlier_job(
    paid: Services, broke: Services, send: Submit
) -> None:
    first = send(paid)
    again = send(broke)
    assert (again.job.job_id, again.is_new) == (first.job.job_id, False)


def test_a_key_that_has_spent_its_month_gets_no_new_job(broke: Services, send: Submit) -> None:
    with pytest.raises(SpendingCapReached):
        send(broke)


def test_another_file_is_another_request_also_where_nobody_could_pay_for_it(
    paid: Services, broke: Services, send: Submit
) -> None:
    send(paid)
    with pytest.raises(InvalidOption):
        send(broke, b"other sound")


@pytest.mark.parametrize("asked", [(ALL_VOICEPRINTS,), (ADA, BOB)], ids=["all", "by id"])
def test_a_job_for_voices_of_which_one_is_gone_is_found_again(
    voices: Services, send: Submit, asked: tuple[str, ...]
) -> None:
    first = send(voices, method="voiceprint", voiceprints=asked)
    voices.voiceprints.delete(ADA, tenant="acme")
    voices.voiceprints.delete(BOB, tenant="acme")
    again = send(voices, method="voiceprint", voiceprints=asked)
    assert (again.job.job_id, again.is_new) == (first.job.job_id, False)
    assert set(again.job.options.voiceprints) == {ADA, BOB}


def test_all_voices_are_the_same_request_when_there_are_more(voices: Services, send: Submit) -> None:
    first = send(voices, method="voiceprint", voiceprints=(ALL_VOICEPRINTS,))
    voices.voiceprints.add(Voiceprint("c" * 32, "acme", "Cleo", "yes", "ready", voices.clock()))
    assert send(voices, method="voiceprint", voiceprints=(ALL_VOICEPRINTS,)).job == first.job


def test_other_voices_are_another_request(voices: Services, send: Submit) -> None:
    send(voices, method="voiceprint", voiceprints=(ADA,))
    with pytest.raises(InvalidOption) as refused:
        send(voices, method="voiceprint", voiceprints=(BOB,))
    assert refused.value.field == "Idempotency-Key"


def test_a_submission_sent_many_times_at_once_is_one_job_with_one_recording(services: Services, send: Submit) -> None:
    with ThreadPoolExecutor(4) as threads:
        accepted = list(threads.map(lambda _: send(services), range(8)))
    assert len({each.job.job_id for each in accepted}) == 1
    assert sum(each.is_new for each in accepted) == 1
    assert [name for name, _ in services.blobs.list_roots("jobs")] == [accepted[0].job.job_id]
