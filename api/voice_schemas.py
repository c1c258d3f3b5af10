"""Known voices as callers send and see them in JSON. Checks and builds plain values; knows no request and no store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from api.periods import format_moment
from erni import blob_paths
from erni.errors import InvalidOption
from erni.metadata import check_characters
from erni.options import ALL_VOICEPRINTS, MAX_VOICEPRINTS
from erni.steps.accepting import Upload
from erni.steps.enrolling import Enrolment, JobSpeaker
from erni.steps.known_voices import Naming
from erni.voiceprints import Voiceprint

MAX_NAME_CHARS: Final = 100
MAX_CONSENT_CHARS: Final = 2000
VOICE_FIELDS: Final = ("name", "consent", "expires_in_days")
SOURCE_FIELDS: Final = ("job_id", "speaker")

Json = dict[str, Any]


def parse_enrolment(fields: Mapping[str, object], upload: Upload | None, max_days: float) -> Enrolment:
    """Without an ``upload`` the fields name a speaker of a job. Raises InvalidOption."""
    known = VOICE_FIELDS if upload else (*VOICE_FIELDS, *SOURCE_FIELDS)
    if unknown := [name for name in fields if name not in known]:
        raise InvalidOption(f"There is no such field. Known here: {', '.join(known)}.", field=unknown[0][:64])
    return Enrolment(
        name=parse_name(fields.get("name")),
        consent=_parse_consent(fields.get("consent")),
        source=upload or JobSpeaker(_text(fields, "job_id"), _text(fields, "speaker")),
        expires_in_days=_parse_days(fields.get("expires_in_days"), max_days),
    )


def parse_name(value: object) -> str:
    """Raises InvalidOption."""
    name = value.strip() if isinstance(value, str) else ""
    if not name.isprintable() or not 1 <= len(name) <= MAX_NAME_CHARS:
        raise InvalidOption(f"name must be 1 to {MAX_NAME_CHARS} printable characters on one line.", field="name")
    return name


def parse_wanted(value: object) -> tuple[str, ...] | None:
    """Ids of the known voices to look for; ``None`` for all of them. Raises InvalidOption."""
    if value is None or value == ALL_VOICEPRINTS:
        return None
    if isinstance(value, list) and 1 <= len(value) <= MAX_VOICEPRINTS and all(isinstance(one, str) for one in value):
        return tuple(dict.fromkeys(value))
    raise InvalidOption(
        f'voiceprints must be "{ALL_VOICEPRINTS}", or a list of 1 to {MAX_VOICEPRINTS} of their ids.',
        field="voiceprints",
    )


def describe_voiceprint(voiceprint: Voiceprint) -> Json:
    """Everything but what makes the voice recognisable. Keys are documented in docs/voiceprints.md."""
    return {
        "id": voiceprint.voiceprint_id,
        "name": voiceprint.name,
        "consent": voiceprint.consent,
        "status": voiceprint.status,
        "reason": voiceprint.reason,
        "engines": list(voiceprint.engines),
        "created_at": format_moment(voiceprint.created_at),
        "expires_at": format_moment(voiceprint.expires_at) if voiceprint.expires_at else None,
        "links": {"self": f"/v1/voiceprints/{voiceprint.voiceprint_id}"},
    }


def describe_names(job_id: str, naming: Naming) -> Json:
    return {
        "job_id": blob_paths.check_job_id(job_id),
        "speakers": [
            {
                "id": found.speaker,
                "name": found.name,
                "voiceprint": found.voiceprint_id,
                "score": found.score,
                "margin": found.margin,
            }
            for found in naming.names
        ],
        "not_compared": list(naming.uncompared),
        "links": {"transcript": f"/v1/jobs/{job_id}/transcript"},
    }


def _parse_consent(value: object) -> str:
    consent = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(consent) <= MAX_CONSENT_CHARS:
        raise InvalidOption(
            f"consent must say, in 1 to {MAX_CONSENT_CHARS} characters, who agreed to this voiceprint and how.",
            field="consent",
        )
    check_characters("consent", consent)
    return consent


def _parse_days(value: object, max_days: float) -> float | None:
    if value is None:
        return None
    try:
        days = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        days = math.nan
    if not 0 < days <= max_days:
        raise InvalidOption(f"expires_in_days must be a number above 0, at most {max_days:g}.", field="expires_in_days")
    return days


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidOption(
            "Send a recording as the part 'file', or job_id and speaker of a job that is over.", field=name
        )
    return value
