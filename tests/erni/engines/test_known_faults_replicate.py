"""The fault of another client of Replicate that this one must not have, in its five parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from config.engines import build_one_shots
from config.settings import Settings
from erni.catalogue import load_catalogue
from erni.engine_ports import OneShotRequest
from erni.engines.replicate import ReplicateOneShot
from erni.engines.replicate_connection import ReplicateConnection
from erni.errors import EngineQuotaExhausted, EngineRejected, RemoteJobAborted, RemoteJobFailed
from erni.model import SAMPLE_RATE_HZ, OneShotAnswer
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.replicate import API_TOKEN, VERSION, ReplicateVendor
from vendors.server import serve

ROW = load_catalogue(None, 1.16).find("replicate", "whisper-diarization")


@pytest.fixture
def vendor() -> Iterator[ReplicateVendor]:
    vendor = ReplicateVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def engine(vendor: ReplicateVendor) -> Iterator[ReplicateOneShot]:
    with serve(vendor.app) as served:
        connection = ReplicateConnection(API_TOKEN, f"{served.url}/v1", timeout_s=5.0)
        yield ReplicateOneShot(connection, ROW.transcriber("replicate:test"), ROW.usd_per_second)


@pytest.fixture
def request_of(tmp_path: Path) -> OneShotRequest:
    path = tmp_path / "canonical.flac"
    samples = np.random.default_rng(0).normal(0, 500, 5 * SAMPLE_RATE_HZ).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return OneShotRequest(path, 5.0, None, None, None, lambda: None, "k1")


def wait_for(engine: ReplicateOneShot, remote_id: str) -> OneShotAnswer:
    deadline_s = time.monotonic() + 10
    while (answer := engine.collect(remote_id)) is None:
        assert time.monotonic() < deadline_s, "the prediction did not end"
        time.sleep(0.02)
    return answer


def test_fault_15_the_version_is_asked_for_and_not_pinned_to_an_old_build(
    vendor: ReplicateVendor, request_of: OneShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(vendor.app) as served:
        monkeypatch.setenv("ERNI_REPLICATE__API_TOKEN", API_TOKEN)
        monkeypatch.setenv("ERNI_REPLICATE__BASE_URL", f"{served.url}/v1")
        build_one_shots(Settings())["replicate/whisper-diarization"].submit(request_of, None)
        monkeypatch.setenv("ERNI_REPLICATE__VERSION", "0" * 64)
        with pytest.raises(EngineRejected, match="Invalid version"):
            build_one_shots(Settings())["replicate/whisper-diarization"].submit(request_of, None)
    [made] = vendor.jobs.all()
    assert made.asked["version"] == VERSION


def test_fault_15_more_than_the_files_api_takes_is_rejected_here(
    engine: ReplicateOneShot, vendor: ReplicateVendor, request_of: OneShotRequest
) -> None:
    assert engine.capabilities.max_bytes == 100 * 1024**2
    narrow = replace(engine, capabilities=replace(engine.capabilities, max_bytes=500))
    with pytest.raises(EngineRejected, match="takes 500"):
        narrow.submit(request_of, None)
    assert vendor.files == []


def test_fault_15_the_price_is_that_of_the_hardwares_time_and_not_one_per_run(
    engine: ReplicateOneShot, vendor: ReplicateVendor, request_of: OneShotRequest
) -> None:
    vendor.jobs.pace_s = 0.1
    short = wait_for(engine, engine.submit(request_of, None)).recognition.bill
    vendor.jobs.pace_s = 0.6
    long = wait_for(engine, engine.submit(request_of, None)).recognition.bill
    assert short is not None
    assert long is not None
    assert short.usd < long.usd


def test_fault_15_an_aborted_prediction_ends_the_wait_and_costs_nothing_and_a_cancelled_one_its_time(
    engine: ReplicateOneShot, vendor: ReplicateVendor, request_of: OneShotRequest
) -> None:
    """What the ledger makes of either is tested where it is kept, with the steps."""
    vendor.jobs.order_end("aborted")
    with pytest.raises(RemoteJobAborted):
        wait_for(engine, engine.submit(request_of, None))
    vendor.jobs.pace_s = 0.2
    vendor.jobs.order_end("canceled")
    with pytest.raises(RemoteJobFailed) as cancelled:
        wait_for(engine, engine.submit(request_of, None))
    assert cancelled.value.usage["predict_time"] > 0.15
    assert cancelled.value.usd == pytest.approx(ROW.usd_per_second * cancelled.value.usage["predict_time"])


def test_fault_15_spent_credit_is_told_and_not_tried_again(
    engine: ReplicateOneShot, vendor: ReplicateVendor, request_of: OneShotRequest
) -> None:
    vendor.faults.order(Fault("status", 402, path="/v1/predictions"))
    with pytest.raises(EngineQuotaExhausted, match="insufficient credit") as caught:
        engine.submit(request_of, None)
    assert not caught.value.retryable
