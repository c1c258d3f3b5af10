"""Replicate's webhooks while its secret is unknown, exchanged or cannot be had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from erni.engines.replicate_connection import ReplicateConnection
from erni.engines.replicate_hooks import ASK_EVERY_S, ReplicateHooks
from erni.errors import EngineDown, EngineUnavailable, SignatureInvalid
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.replicate import API_TOKEN, WEBHOOK_SECRET, ReplicateVendor
from vendors.server import serve
from vendors.signing import sign_replicate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = json.dumps({"id": "gm3qorzdhgbfurvjtvhg6dckhu", "status": "succeeded"}).encode()
NEW_SECRET = "whsec_bmV3ZXIgdGhhbiB0aGUgb3RoZXIgb25l"
TOLERANCE_S = 300.0


@dataclass
class Seconds:
    """A clock that goes on when it is told to."""

    now_s: float = field(default=1000.0)

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def vendor() -> Iterator[ReplicateVendor]:
    vendor = ReplicateVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def hooks(vendor: ReplicateVendor, seconds: Seconds) -> Iterator[ReplicateHooks]:
    with serve(vendor.app) as served:
        connection = ReplicateConnection(API_TOKEN, f"{served.url}/v1", timeout_s=5.0)
        yield ReplicateHooks(connection.webhook_secret, TOLERANCE_S, seconds)


def signed(secret: str, at: datetime = NOW) -> Mapping[str, str]:
    return sign_replicate(secret, "msg_1", int(at.timestamp()), BODY)


def times_asked(vendor: ReplicateVendor) -> int:
    return sum(one.path == "/v1/webhooks/default/secret" for one in vendor.faults.received)


def test_the_secret_is_asked_for_once(hooks: ReplicateHooks, vendor: ReplicateVendor) -> None:
    for _ in range(3):
        assert hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW).remote_id == "gm3qorzdhgbfurvjtvhg6dckhu"
    assert times_asked(vendor) == 1


def test_an_exchanged_secret_is_found_out(hooks: ReplicateHooks, vendor: ReplicateVendor, seconds: Seconds) -> None:
    hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW)
    vendor.webhook_secret = NEW_SECRET
    seconds.now_s += ASK_EVERY_S
    assert hooks.verify(signed(NEW_SECRET), BODY, NOW).delivery_id == "msg_1"
    with pytest.raises(SignatureInvalid):
        hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW)


def test_forged_webhooks_have_replicate_asked_once_a_minute(
    hooks: ReplicateHooks, vendor: ReplicateVendor, seconds: Seconds
) -> None:
    for _ in range(2):
        for _ in range(5):
            with pytest.raises(SignatureInvalid):
                hooks.verify(signed(NEW_SECRET), BODY, NOW)
        seconds.now_s += ASK_EVERY_S
    assert times_asked(vendor) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**signed(WEBHOOK_SECRET), "webhook-signature": ""},
        {**signed(WEBHOOK_SECRET), "webhook-id": ""},
        signed(WEBHOOK_SECRET, datetime(2026, 11, 22, 11, tzinfo=UTC)),
    ],
    ids=["bare", "unsigned", "without an id", "old"],
)
def test_what_is_no_webhook_has_nobody_asked(
    hooks: ReplicateHooks, vendor: ReplicateVendor, headers: Mapping[str, str]
) -> None:
    with pytest.raises(SignatureInvalid):
        hooks.verify(headers, BODY, NOW)
    assert times_asked(vendor) == 0


def test_while_replicate_is_out_its_webhooks_are_wanted_again(
    hooks: ReplicateHooks, vendor: ReplicateVendor, seconds: Seconds
) -> None:
    vendor.faults.order(Fault(status=503, path="/v1/webhooks"))
    with pytest.raises(EngineDown):
        hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW)
    with pytest.raises(EngineUnavailable):
        hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW)
    assert times_asked(vendor) == 1
    seconds.now_s += ASK_EVERY_S
    assert hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW)
    vendor.faults.order(Fault(status=503, path="/v1/webhooks"))
    seconds.now_s += ASK_EVERY_S
    with pytest.raises(SignatureInvalid):
        hooks.verify(signed(NEW_SECRET), BODY, NOW)
    assert hooks.verify(signed(WEBHOOK_SECRET), BODY, NOW)
