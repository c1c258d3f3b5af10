"""What the command line tells people when it cannot do what they asked: one line, no traceback."""

from __future__ import annotations

import click


class CommandFailed(click.ClickException):
    """The command could not do its work."""


class StackFailed(CommandFailed):
    """The embedded stack did not start, or cannot go on."""


class RequestFailed(CommandFailed):
    """The server refused a request, or could not be reached (``status`` is ``None`` then)."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
