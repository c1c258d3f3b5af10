"""Signs webhooks as the vendors do. Written apart from the room that verifies them, so that one can find the other's
mistakes.
"""

from __future__ import annotations

import base64
import hmac
from typing import Literal


def sign_pyannote(secret: str, at_s: int, body: bytes, encoding: Literal["hex", "base64"]) -> dict[str, str]:
    """Headers for a body sent at ``at_s`` (seconds of the epoch)."""
    digest = hmac.digest(secret.encode(), f"v0:{at_s}:".encode() + body, "sha256")
    signature = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    return {"X-Request-Timestamp": str(at_s), "X-Signature": signature}


def sign_replicate(secret: str, delivery_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """As above, under Standard Webhooks."""
    key = base64.b64decode(secret.split("whsec_")[1])
    digest = hmac.digest(key, f"{delivery_id}.{at_s}.".encode() + body, "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
