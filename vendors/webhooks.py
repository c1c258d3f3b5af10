"""Calls back: a vendor's webhooks, signed anew and tried again like the real ones. Knows no vendor."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx

ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt at a delivery; ``status`` is 0 where nobody answered."""

    url: str
    attempt: int
    status: int


@dataclass(slots=True)
class WebhookSender:
    """Posts to whoever is to be called; again after each of ``retry_delays_s`` until the answer is a success.

    ``is_losing`` drops them, as networks do.
    """

    retry_delays_s: Sequence[float]
    is_losing: bool = False
    max_redirects: int = 0
    _sent: list[Sent] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _closing: threading.Event = field(default_factory=threading.Event, init=False)

    @property
    def sent(self) -> tuple[Sent, ...]:
        with self._lock:
            return tuple(self._sent)

    def send(self, url: str, body: bytes, sign: Callable[[int, str], Mapping[str, str]]) -> None:
        """Deliver on a thread. ``sign`` makes the headers of an attempt, from its number and the reason for it."""
        if not self.is_losing:
            threading.Thread(target=self._deliver, args=(url, body, sign), name="vendor-webhook", daemon=True).start()

    def close(self) -> None:
        """Try nothing again."""
        self._closing.set()

    def _deliver(self, url: str, body: bytes, sign: Callable[[int, str], Mapping[str, str]]) -> None:
        reason = ""
        for attempt, delay_s in enumerate((0.0, *self.retry_delays_s)):
            if self._closing.wait(delay_s):
                return
            status, reason = self._post(url, body, sign(attempt, reason))
            with self._lock:
                self._sent.append(Sent(url, attempt, status))
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        together = {"Content-Type": "application/json", **headers}
        try:
            with httpx.Client(timeout=ANSWER_S, trust_env=False, follow_redirects=self.max_redirects > 0) as client:
                client.max_redirects = self.max_redirects
                return client.post(url, content=body, headers=together).status_code, "http_error"
        except httpx.TimeoutException:
            return 0, "http_timeout"
        except httpx.TooManyRedirects:
            return 0, "too_many_redirects"
        except httpx.HTTPError:
            return 0, "connection_failed"


def may_call(url: object) -> bool:
    """Vendors call HTTPS only; this one calls its own host without it, where no certificate can be had."""
    if not isinstance(url, str):
        return False
    parsed = urlsplit(url)
    return parsed.scheme == "https" or (parsed.scheme == "http" and _is_loopback(parsed.hostname))


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
