"""The doors to what is kept of people's voices. Implementations live in ``stores``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from erni.voiceprints import Making, Voiceprint, VoiceprintStatus


class Cipher(Protocol):
    """Makes unreadable what tells a voice apart, wherever it is kept for longer than a job is at work."""

    def encrypt(self, content: bytes) -> bytes: ...

    def decrypt(self, content: bytes) -> bytes:
        """Raises DocumentDamaged: it was encrypted with none of the keys."""


class VoiceprintStore(Protocol):
    """Known voices by tenant; what makes one recognisable is stored encrypted. Every method may raise StorageError.

    One that has expired is as absent as one that was deleted.
    """

    def add(self, voiceprint: Voiceprint) -> None: ...

    def get(self, voiceprint_id: str, *, tenant: str | None = None) -> Voiceprint:
        """Raises VoiceprintNotFound, also when it is another tenant's."""

    def list_voiceprints(self, tenant: str) -> Sequence[Voiceprint]:
        """By name."""

    def list_pending(self) -> Sequence[Voiceprint]:
        """Every tenant's that are still to be made, oldest first."""

    def existing(self, voiceprint_ids: Sequence[str]) -> set[str]:
        """Which of these are recorded, expired ones included."""

    def rename(self, voiceprint_id: str, name: str, *, tenant: str) -> Voiceprint:
        """Raises VoiceprintNotFound."""

    def set_status(self, voiceprint_id: str, status: VoiceprintStatus, reason: str | None = None) -> None:
        """A voiceprint that is gone is not an error."""

    def put_print(self, voiceprint_id: str, engine: str, content: bytes) -> None:
        """Keep an engine's form of the voice, in place of an earlier one. A voiceprint that is gone is not an error."""

    def prints(self, voiceprint_ids: Sequence[str], engine: str, *, tenant: str) -> dict[str, bytes]:
        """What an engine knows these voices by: of those that are the tenant's and ready, and that it knows.

        Raises:
            DocumentDamaged: one cannot be decrypted with any of the keys.
        """

    def put_making(self, voiceprint_id: str, engine: str, making: Making) -> None:
        """Record how far a vendor is with its form of the voice. A voiceprint that is gone is not an error."""

    def find_making(self, voiceprint_id: str, engine: str) -> Making: ...

    def delete(self, voiceprint_id: str, *, tenant: str) -> None:
        """With all its forms. Raises VoiceprintNotFound."""

    def delete_expired(self, now: datetime) -> int: ...
