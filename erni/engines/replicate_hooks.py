"""Verifying Replicate's webhooks with the secret that Replicate tells: asked for when the first one comes, and again
when one does not fit, because the secret can be exchanged over there at any time.

Anyone may send what looks like a webhook, so Replicate is asked at most once a minute, and not before the rest of the
delivery is in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from erni.errors import EngineError, EngineUnavailable, SignatureInvalid
from erni.signatures import Delivery, read_replicate_headers, verify_replicate

log = structlog.get_logger(__name__)

ASK_EVERY_S: Final = 60.0


@dataclass(slots=True)
class ReplicateHooks:
    """Verifies deliveries; ``ask`` has Replicate tell the secret, and may raise EngineError. For any thread."""

    ask: Callable[[], str]
    tolerance_s: float
    monotonic: Callable[[], float] = time.monotonic
    _secret: str | None = field(default=None, init=False, repr=False)
    _asked_s: float | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Delivery:
        """As ``verify_replicate``.

        Raises:
            SignatureInvalid: as there.
            EngineError: the secret is not known, and Replicate does not tell it now.
        """
        read_replicate_headers(headers, now, self.tolerance_s)
        known = self._secret
        if known is not None:
            try:
                return verify_replicate(known, headers, body, now, self.tolerance_s)
            except SignatureInvalid:
                if self._renew(known) == known:
                    raise
        return verify_replicate(self._renew(known), headers, body, now, self.tolerance_s)

    def _renew(self, known: str | None) -> str:
        """The secret that is in use by now; ``known`` is the one that does not fit."""
        with self._lock:
            if self._may_ask() and self._secret == known:
                self._asked_s = self.monotonic()
                self._ask()
            if self._secret is None:
                raise EngineUnavailable(
                    "The secret of Replicate's webhooks is not known yet.", retry_after_s=ASK_EVERY_S
                )
            return self._secret

    def _may_ask(self) -> bool:
        return self._asked_s is None or self.monotonic() - self._asked_s >= ASK_EVERY_S

    def _ask(self) -> None:
        try:
            self._secret = self.ask()
        except EngineError as error:
            if self._secret is None:
                raise
            log.warning("webhook_secret_not_told", code=error.code)
