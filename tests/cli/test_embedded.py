from __future__ import annotations

import shutil
from pathlib import Path

from cli.embedded import load_commands, stack_environment
from config.queue import QUEUES
from config.settings import Settings


def test_stack_has_its_own_redis_unless_another_is_named():
    embedded = {command.name for command in load_commands(Settings(redis={"url": None}))}
    external = {command.name for command in load_commands(Settings(redis={"url": "redis://elsewhere/0"}))}
    assert embedded - external == {"redis"}
    assert external == {"api", *(f"worker-{queue}" for queue in QUEUES), "beat", "flower"}


def test_processes_get_the_settings_of_the_stack_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("ERNI_REDIS__URL", "redis://production/0")
    monkeypatch.setenv("UNRELATED", "kept")
    environment = stack_environment(Settings(data_dir=Path("/srv/erni"), redis={"url": None}), "word")
    assert environment["ERNI_DATA_DIR"] == "/srv/erni"
    assert environment["ERNI_REDIS__URL"] == ""
    assert environment["ERNI_FLOWER__PASSWORD"] == "word"
    assert environment["UNRELATED"] == "kept"


def test_programs_of_this_installation_are_found_without_activating_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    path = stack_environment(Settings(), "word")["PATH"]
    assert shutil.which("celery", path=path)
    assert shutil.which("gunicorn", path=path)
