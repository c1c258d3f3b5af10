"""API keys: made from 256 random bits, shown once, kept only as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Role = Literal["admin", "user"]
MIN_TOKEN_LENGTH = 20


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as recorded; the token itself is never stored. ``tenant`` isolates jobs, ``role`` grants rights.

    Paid calls for its jobs may cost ``monthly_usd`` in a calendar month (UTC); ``None`` sets no cap.
    """

    key_id: str
    tenant: str
    role: Role
    token_hash: str
    created_at: datetime
    label: str = ""
    revoked_at: datetime | None = None
    monthly_usd: float | None = None


def make_token() -> str:
    """A new secret token, to be shown once."""
    return f"erni_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """SHA-256 in hex. A fast hash is right here: tokens are random, not chosen by people."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_same_token(token: str, key: ApiKey) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_token(token), key.token_hash)
