from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from pydantic import SecretStr

from cli.main import main
from cli.settings_text import render_environment, render_example_env
from config.settings import Settings, load_settings


def test_environment_gives_another_process_the_same_settings(monkeypatch):
    settings = Settings(
        data_dir=Path("/srv/erni"),
        admin_key=SecretStr("k" * 30),
        redis={"url": "redis://:word@elsewhere/0", "port": 7000},
        whisper={"model": "small", "threads": 3},
        beat={"sweep_every_s": 2.5},
    )
    for name, value in render_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_unset_value_overrides_one_of_the_environment(monkeypatch):
    monkeypatch.setenv("ERNI_REDIS__URL", "redis://production:6379/0")
    for name, value in render_environment(Settings(redis={"url": None})).items():
        monkeypatch.setenv(name, value)
    assert load_settings().redis.url is None


def test_settings_command_prints_the_example():
    assert CliRunner().invoke(main, ["settings"]).stdout == render_example_env()


def test_example_shows_no_secret_and_sets_nothing():
    for line in render_example_env().splitlines():
        assert not line or line.startswith("#")
