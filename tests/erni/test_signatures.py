"""Webhook signatures: the vendors' own test vectors, and whatever must not pass for one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from erni.errors import ConfigError, SignatureInvalid
from erni.signatures import Delivery, verify_pyannote, verify_replicate

SENT_S = 1763800000
NOW = datetime.fromtimestamp(SENT_S + 5, UTC)

PYANNOTE_SECRET = "whs_test_secret"
PYANNOTE_BODY = b'{"jobId":"3c8a89a5-dcc6-4edb-a75d-ffd64739674d","status":"succeeded"}'
HEX = "3265f78a48743c9699dc94a8a3e9a341aace5c0eddee52a1ff27011bd3f9fd62"
BASE64 = "MmX3ikh0PJaZ3JSoo+mjQarOXA7d7lKh/ycBG9P5/WI="

REPLICATE_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
REPLICATE_BODY = b'{"id":"gm3qorzdhgbfurvjtvhg6dckhu","status":"succeeded"}'
V1 = "v1,XLslMhLXJt/FAU1F1Cp0Fu+qxAh1lrUnPOJVY5CUW5k="


def pyannote(body: bytes = PYANNOTE_BODY, now: datetime = NOW, **headers: str) -> Delivery:
    sent = {"X-Request-Timestamp": str(SENT_S), "X-Signature": HEX}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return verify_pyannote(PYANNOTE_SECRET, sent, body, now, 300.0)


def replicate(body: bytes = REPLICATE_BODY, now: datetime = NOW, **headers: str) -> Delivery:
    sent = {"webhook-id": "msg_1", "webhook-timestamp": str(SENT_S), "webhook-signature": V1}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return verify_replicate(REPLICATE_SECRET, sent, body, now, 300.0)


def sign_as_pyannote(body: bytes) -> str:
    signed = f"v0:{SENT_S}:".encode() + body
    return hmac.new(PYANNOTE_SECRET.encode(), signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("signature", [HEX, HEX.upper(), BASE64, f" {BASE64} "])
def test_pyannotes_signature_is_taken_in_hex_and_in_base64(signature: str) -> None:
    job = "3c8a89a5-dcc6-4edb-a75d-ffd64739674d"
    assert pyannote(X_Signature=signature) == Delivery(f"{job}:succeeded", job, "succeeded")


def test_replicates_signature_fits_its_own_vector() -> None:
    assert replicate() == Delivery("msg_1", "gm3qorzdhgbfurvjtvhg6dckhu", "succeeded")


def test_one_of_several_signatures_suffices() -> None:
    assert replicate(webhook_signature=f"v1,AAAA v2,{V1[3:]} {V1}").delivery_id == "msg_1"


def test_a_signature_of_another_version_does_not_count() -> None:
    with pytest.raises(SignatureInvalid):
        replicate(webhook_signature=f"v2,{V1[3:]}")


def test_the_case_of_header_names_does_not_matter() -> None:
    sent = {"x-request-TIMESTAMP": str(SENT_S), "x-signature": HEX}
    assert verify_pyannote(PYANNOTE_SECRET, sent, PYANNOTE_BODY, NOW, 300.0).status == "succeeded"


def test_the_same_json_in_other_bytes_is_not_signed() -> None:
    with pytest.raises(SignatureInvalid):
        pyannote(json.dumps(json.loads(PYANNOTE_BODY)).encode())
    with pytest.raises(SignatureInvalid):
        replicate(json.dumps(json.loads(REPLICATE_BODY)).encode())


@pytest.mark.parametrize("late_s", [-301, 301])
def test_a_webhook_signed_long_ago_or_ahead_is_refused(late_s: int) -> None:
    then = datetime.fromtimestamp(SENT_S + late_s, UTC)
    with pytest.raises(SignatureInvalid, match="300 s"):
        pyannote(now=then)
    with pytest.raises(SignatureInvalid, match="300 s"):
        replicate(now=then)


@pytest.mark.parametrize("late_s", [-299, 299])
def test_within_the_tolerance_it_is_taken(late_s: int) -> None:
    then = datetime.fromtimestamp(SENT_S + late_s, UTC)
    assert pyannote(now=then).status == replicate(now=then).status == "succeeded"


@pytest.mark.parametrize("timestamp", ["", "soon", "1763800000.5", "-1763800000", "١٧٦٣٨٠٠٠٠٠", "1e9", "9" * 400])
def test_a_time_that_is_none_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureInvalid):
        pyannote(X_Request_Timestamp=timestamp)
    with pytest.raises(SignatureInvalid):
        replicate(webhook_timestamp=timestamp)


@pytest.mark.parametrize("signature", ["", "v1,", ",", "ü", HEX[:-1], HEX[:-1] + "3", BASE64[:-2], "\udcff"])
def test_a_wrong_signature_is_refused(signature: str) -> None:
    with pytest.raises(SignatureInvalid):
        pyannote(X_Signature=signature)
    with pytest.raises(SignatureInvalid):
        replicate(webhook_signature=signature)


def test_without_headers_nothing_is_taken() -> None:
    with pytest.raises(SignatureInvalid):
        verify_pyannote(PYANNOTE_SECRET, {}, PYANNOTE_BODY, NOW, 300.0)
    with pytest.raises(SignatureInvalid):
        verify_replicate(REPLICATE_SECRET, {}, REPLICATE_BODY, NOW, 300.0)


def test_another_time_or_id_breaks_the_signature() -> None:
    with pytest.raises(SignatureInvalid):
        pyannote(X_Request_Timestamp=str(SENT_S + 1))
    with pytest.raises(SignatureInvalid):
        replicate(webhook_id="msg_2")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"[" * 100_000,
        b'{"status":"succeeded"}',
        b'{"jobId":7,"status":"succeeded"}',
        b'{"jobId":"../../v2/jobs","status":"succeeded"}',
        b'{"jobId":"' + b"a" * 65 + b'","status":"succeeded"}',
        b'{"jobId":"a"}',
        b'{"jobId":"a","status":{"x":1}}',
    ],
)
def test_what_is_signed_but_about_no_job_is_refused(body: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        pyannote(body, X_Signature=sign_as_pyannote(body))


def test_deliveries_of_one_event_have_one_id() -> None:
    body = b'{"jobId":"a-1","status":"failed"}'
    assert pyannote(body, X_Signature=sign_as_pyannote(body)).delivery_id == "a-1:failed"


def test_a_secret_with_an_underscore_in_it_works() -> None:
    key = bytes.fromhex("fbff" * 12)
    text = base64.urlsafe_b64encode(key).decode()
    assert "_" in text
    digest = hmac.new(key, f"msg_1.{SENT_S}.".encode() + REPLICATE_BODY, hashlib.sha256).digest()
    sent = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(SENT_S),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    assert verify_replicate(f"whsec_{text}", sent, REPLICATE_BODY, NOW, 300.0).delivery_id == "msg_1"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%"])
def test_a_secret_that_is_none_of_replicates_is_a_wrong_setting(secret: str) -> None:
    sent = {"webhook-id": "msg_1", "webhook-timestamp": str(SENT_S), "webhook-signature": V1}
    with pytest.raises(ConfigError):
        verify_replicate(secret, sent, REPLICATE_BODY, NOW, 300.0)
