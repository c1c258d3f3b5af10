"""One pipeline for every log line, ours and libraries': events with fields, as columns or as JSON lines.

Finished lines are searched for credentials: an exception's text is as public as a field.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final

import structlog
from structlog.typing import Processor

from config.settings import LogSettings

_URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/@'\"]*@")
_API_KEY: Final = re.compile(r"\b(erni_)[A-Za-z0-9_-]{40,}")
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[^\s'\",]+")

_LOUD_LIBRARIES: Final = ("httpx", "httpcore", "faster_whisper", "alembic", "fsspec", "s3fs", "botocore")
"""Their INFO lines repeat what our events say."""

_LIBRARIES_WITH_HANDLERS: Final = ("gunicorn.error", "gunicorn.access", "celery", "werkzeug")
"""They bring handlers of their own, which would write every line a second time."""


def configure_logging(settings: LogSettings) -> None:
    """Set up the process's logging; a later call replaces an earlier one. Lines go to standard error."""
    is_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_build_formatter(is_json=is_json))
    logging.basicConfig(handlers=[handler], level=settings.level, force=True)
    logging.captureWarnings(capture=True)
    for name in _LIBRARIES_WITH_HANDLERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in _LOUD_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def mask_credentials(line: str) -> str:
    """Hide passwords in URLs, Erni's API keys and bearer tokens."""
    line = _URL_CREDENTIALS.sub("***@", line)
    line = _API_KEY.sub(r"\1***", line)
    return _BEARER.sub(r"\1***", line)


def _build_formatter(*, is_json: bool) -> logging.Formatter:
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if is_json:
        rendering += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        # The default would show the local variables of every frame, and with them keys and text.
        rendering.append(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared_processors(), processors=[*rendering, _mask_rendered]
    )


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _mask_rendered(_logger: Any, _method: str, line: Any) -> str:
    return mask_credentials(str(line))
