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
    enrolment failed.
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
