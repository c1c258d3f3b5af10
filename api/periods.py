"""Stretches of time in queries: ``since`` and ``until``. Knows no route."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import request

from erni.errors import InvalidOption


def parse_period(now: datetime, since: datetime) -> tuple[datetime, datetime]:
    """From ``since`` up to now, and this very moment with it, unless the query says otherwise. Raises InvalidOption."""
    for name, values in request.args.lists():
        if name not in ("since", "until"):
            raise InvalidOption("There is no such parameter. Known here: since, until.", field=name[:64])
        if len(values) > 1:
            raise InvalidOption(f"{name} is given more than once.", field=name)
    since = _parse_moment("since", request.args.get("since")) or since
    until = _parse_moment("until", request.args.get("until")) or now + timedelta(microseconds=1)
    if since >= until:
        raise InvalidOption("since must lie before until.", field="since")
    return since, until


def format_moment(moment: datetime) -> str:
    """In UTC, to the millisecond."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _parse_moment(name: str, text: str | None) -> datetime | None:
    """A day (its first instant in UTC) or a moment of ISO 8601; without a zone it is one of UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidOption(
            f"{name} must be a day or a moment of ISO 8601, such as 2026-03-01 or 2026-03-01T09:30:00Z.", field=name
        ) from None
