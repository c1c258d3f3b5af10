"""How Flower shows the queue; a Flower configuration file, so its names are Flower's options.

The password comes from the settings, never from a command line, which every user of the host can read.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import Any

from config.settings import load_settings

_settings = load_settings()
if _settings.flower.password is None:
    raise SystemExit("ERNI_FLOWER__PASSWORD is not set. Flower shows and controls all work: give it a password.")

address = _settings.flower.host
port = _settings.flower.port
basic_auth = [f"{_settings.flower.user}:{_settings.flower.password.get_secret_value()}"]
persistent = True
db = str(_settings.data_dir.absolute() / "flower.db")
state_save_interval = 60_000
max_tasks = 20_000
purge_offline_workers = 120


def format_task(task: Any) -> Any:
    """Show ``job 0f3c…, part 12`` instead of a tuple's text; what cannot be read stays as it is."""
    with suppress(ValueError, SyntaxError, TypeError):
        job_id, *rest = ast.literal_eval(task.args)
        task.args = ", ".join([f"job {job_id}", *(f"part {part}" for part in rest)])
    return task
