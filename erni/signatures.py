"""Whether a webhook really comes from the vendor it claims to come from. Pure: no clock, no store, no settings.

A signature is made over the bytes that were sent. JSON that was read and written again has other bytes, so everything
here works on the body as received, and reads it only once it is known to be the vendor's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from erni.errors import ConfigError, SignatureInvalid

REMOTE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a vendor's id of a job looks like: UUIDs and short lower-case names. It becomes part of addresses."""

_DELIVERY_ID: Final = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified webhook. ``delivery_id`` is equal for every repetition of it; ``remote_id`` is the job it is about,
    and ``status`` the vendor's word for where that stands.
    """

    delivery_id: str
    remote_id: str
    status: str


def verify_pyannote(
    secret: str, headers: Mapping[str, str], body: bytes, now: datetime, tolerance_s: float
) -> Delivery:
    """pyannote.ai: HMAC-SHA256 of ``v0:{timestamp}:{body}``, keyed with the secret as it is written.

    Its documentation says base64 in words and compares hex in its sample, so either is taken. Deliveries have no id
    and may be repeated: job and status are one.

    Raises:
        SignatureInvalid: not signed with the secret, more than ``tolerance_s`` old or ahead, or about no job.
    """
    received = _lower_names(headers)
    timestamp = received.get("x-request-timestamp", "")
    _check_time(timestamp, now, tolerance_s)
    digest = _sign(secret.encode(), b"v0:" + timestamp.encode() + b":" + body)
    signature = received.get("x-signature", "").strip()
    _check_any([digest.hex(), _base64(digest)], [signature, signature.lower()])
    remote_id, status = _read_job(body, "jobId")
    return Delivery(f"{remote_id}:{status}", remote_id, status)


def verify_replicate(
    secret: str, headers: Mapping[str, str], body: bytes, now: datetime, tolerance_s: float
) -> Delivery:
    """Replicate: HMAC-SHA256 of ``{id}.{timestamp}.{body}``, keyed with the bytes its ``whsec_`` secret spells in
    base64 (https://www.standardwebhooks.com). While a secret is exchanged there are several signatures; one must
    fit.

    Raises:
        ConfigError: the secret is none of Replicate's.
        SignatureInvalid: as for pyannote.ai.
    """
    delivery_id, timestamp, signatures = read_replicate_headers(headers, now, tolerance_s)
    digest = _sign(_replicate_key(secret), f"{delivery_id}.{timestamp}.".encode() + body)
    _check_any([_base64(digest)], signatures)
    remote_id, status = _read_job(body, "id")
    return Delivery(delivery_id, remote_id, status)


def read_replicate_headers(
    headers: Mapping[str, str], now: datetime, tolerance_s: float
) -> tuple[str, str, Sequence[str]]:
    """A delivery's id, its time and its signatures, as far as they are right whatever the secret is.

    Raises:
        SignatureInvalid: one is missing, or the time is not about now.
    """
    received = _lower_names(headers)
    delivery_id, timestamp = received.get("webhook-id", ""), received.get("webhook-timestamp", "")
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise SignatureInvalid("The webhook has no id.")
    _check_time(timestamp, now, tolerance_s)
    texts = received.get("webhook-signature", "").split()
    signatures = [text.removeprefix("v1,") for text in texts if text.startswith("v1,")]
    if not signatures:
        raise SignatureInvalid("The webhook is not signed.")
    return delivery_id, timestamp, signatures


def _lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _check_time(timestamp: str, now: datetime, tolerance_s: float) -> None:
    """A recorded webhook cannot be sent again later: its time is signed."""
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise SignatureInvalid("The webhook does not say when it was sent.")
    if abs(now.timestamp() - int(timestamp)) > tolerance_s:
        raise SignatureInvalid(
            f"The webhook was not sent within {tolerance_s:g} s of now. Is the clock of this host right?"
        )


def _sign(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _check_any(expected: Iterable[str], received: Iterable[str]) -> None:
    """In constant time for each pair: how long it takes tells nothing about how much of a guess is right."""
    wanted = [text.encode() for text in expected]
    fits = [hmac.compare_digest(one, text.encode(errors="replace")) for text in received for one in wanted]
    if not any(fits):
        raise SignatureInvalid("The webhook is not signed with the secret set here.")


def _replicate_key(secret: str) -> bytes:
    """The part after ``whsec_``, in either alphabet of base64: the second one has ``_`` in it."""
    text = secret.removeprefix("whsec_").translate(str.maketrans("-_", "+/"))
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigError("The secret of Replicate's webhooks must be the whole `whsec_...` that Replicate shows.")
    return key


def _read_job(body: bytes, id_name: str) -> tuple[str, str]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SignatureInvalid("The webhook is signed, but no JSON.") from error
    remote_id, status = (content.get(name) if isinstance(content, dict) else None for name in (id_name, "status"))
    if not isinstance(remote_id, str) or not REMOTE_ID.fullmatch(remote_id):
        raise SignatureInvalid("The webhook is signed, but names no job.")
    if not isinstance(status, str) or not re.fullmatch(r"[a-z_-]{1,32}", status):
        raise SignatureInvalid("The webhook is signed, but names no status.")
    return remote_id, status
