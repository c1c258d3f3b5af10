"""Settings as text: an example file for people, and an environment for processes that need the same."""

from __future__ import annotations

import textwrap

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.settings import Settings

_WIDTH = 100
_HEADING = """\
# Every setting of Erni with its meaning and default. Copy this file to `.env` next to docker-compose.yml, or
# export what you change. Each line is commented out: only what differs from the default needs to be set.
# Written by `erni settings`; a test compares it with the code.
"""
_COMPOSE_PASSWORDS = """\
# --- Only for docker-compose.yml: passwords of its own servers, letters and digits only (parts of URLs).

# POSTGRES_PASSWORD=

# REDIS_PASSWORD=
"""


def render_environment(settings: Settings) -> dict[str, str]:
    """All settings as variables, secrets in clear. An unset one is empty, which reads as unset."""
    variables = {}
    for name, value in settings:
        if isinstance(value, BaseModel):
            variables.update({_variable(name, key): _render(entry) for key, entry in value})
        else:
            variables[_variable(name)] = _render(value)
    return variables


def render_example_env() -> str:
    """Every variable, commented out, under its group's heading."""
    lines = [_HEADING]
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        if isinstance(default, BaseModel):
            lines.append(f"# --- {type(default).__doc__}\n")
            for key, entry in type(default).model_fields.items():
                lines.append(_describe(_variable(name, key), entry))
        else:
            lines.append(_describe(_variable(name), field))
    lines.append(_COMPOSE_PASSWORDS)
    return "\n".join(lines)


def render_settings_table() -> str:
    """Every variable as a row of a Markdown table, for the README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        entries = type(default).model_fields.items() if isinstance(default, BaseModel) else ((None, field),)
        for key, entry in entries:
            variable = _variable(name, key) if key else _variable(name)
            shown = _render(entry.get_default())
            rows.append(f"| `{variable}` | {f'`{shown}`' if shown else ''} | {entry.description} |")
    return "\n".join(rows) + "\n"


def _describe(variable: str, field: FieldInfo) -> str:
    meaning = textwrap.fill(field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# ")
    return f"{meaning}\n# {variable}={_render(field.get_default())}\n"


def _variable(*names: str) -> str:
    return f"ERNI_{'__'.join(names)}".upper()


def _render(value: object) -> str:
    if value is None:
        return ""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
