"""Known voices: what is recorded of one. Pure values; sees no audio and no store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

VoiceprintStatus = Literal["pending", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class Voiceprint:
    """A voice enrolled by a tenant under a name. ``consent`` is the note of who agreed to it, and how.

    ``engines`` are those that know the voice so far; what they know it by is kept apart, encrypted. ``reason`` says why
    enrolment failed, or why an engine does not know the voice. ``key_id`` is the key that pays.
    """

    voiceprint_id: str
    tenant: str
    name: str
    consent: str
    status: VoiceprintStatus
    created_at: datetime
    expires_at: datetime | None = None
    engines: tuple[str, ...] = ()
    reason: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Making:
    """How far a vendor is with its form of a voiceprint.

    Its job was submitted ``submissions`` times, the last one at ``submitted_at``, and is ``remote_id`` there; without
    that the answer was lost. ``given_up`` says why there will be none.
    """

    submissions: int = 0
    submitted_at: datetime | None = None
    remote_id: str | None = None
    given_up: str | None = None
