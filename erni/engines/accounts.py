"""Names for accounts at vendors, so that limits are kept per account and no key is told to anybody."""

from __future__ import annotations

import hashlib
from typing import Final

FINGERPRINT_CHARS: Final = 12


def account_of(provider: str, secret: str | None) -> str:
    """``openai:3f2a...``: the provider and the beginning of the key's SHA-256; ``speaches:open`` without a key."""
    if not secret:
        return f"{provider}:open"
    return f"{provider}:{hashlib.sha256(secret.encode()).hexdigest()[:FINGERPRINT_CHARS]}"
