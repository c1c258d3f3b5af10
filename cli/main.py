"""The ``erni`` command: which commands there are and how a failure is told. The work is done elsewhere.

A command's module is imported when it is called: talking to a server needs neither database nor models.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from cli.failures import CommandFailed
from erni import __version__
from erni.errors import ConfigError, ErniError

_MODULES: Final = {
    "up": "cli.up",
    "transcribe": "cli.job_commands",
    "jobs": "cli.job_commands",
    "show": "cli.job_commands",
    "retry": "cli.job_commands",
    "cancel": "cli.job_commands",
    "delete": "cli.job_commands",
    "engines": "cli.engine_commands",
    "keys": "cli.host_commands",
    "init": "cli.host_commands",
    "settings": "cli.host_commands",
    "doctor": "cli.doctor",
    "eval": "cli.eval_command",
    "demo": "cli.demo",
}
_UNLISTED: Final = {"demo"}
"""Needs a checkout and the development tools; `make demo` calls it."""


class _SettingsFailed(CommandFailed):
    """A setting is wrong; told like a wrong command line."""

    exit_code = 2


class _Commands(click.Group):
    """Finds commands by name, and turns Erni's own errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return [name for name in _MODULES if name not in _UNLISTED]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(_MODULES[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise _SettingsFailed(error.message) from error
        except ErniError as error:
            raise CommandFailed(error.message) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="erni")
def main() -> None:
    """Recordings in, speaker-labelled transcripts out."""


if __name__ == "__main__":
    main()
