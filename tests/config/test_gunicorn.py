from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS

from config.bootstrap import build_key_store
from config.settings import load_settings

FILE = Path(__file__).parents[2] / "config" / "gunicorn.py"


@pytest.fixture
def options(monkeypatch, tmp_path):
    monkeypatch.setenv("ERNI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ERNI_API__PORT", "6002")
    monkeypatch.setenv("ERNI_API__THREADS", "3")
    monkeypatch.delenv("ERNI_ADMIN_KEY", raising=False)
    monkeypatch.delenv("ERNI_RECORDS__URL", raising=False)
    return runpy.run_path(str(FILE))


def test_options_follow_the_settings(options):
    assert options["bind"] == "127.0.0.1:6002"
    assert options["threads"] == 3
    assert Path(options["worker_tmp_dir"]).is_dir()


def test_every_option_is_one_gunicorn_knows(options):
    known = {setting.name for setting in KNOWN_SETTINGS}
    ours = {name for name, value in options.items() if name.islower() and not name.startswith("_")}
    assert ours - {"annotations", "sys", "initialise", "load_settings"} <= known


def test_api_started_alone_makes_and_shows_the_first_key(options, capsys):
    options["on_starting"](None)
    assert "The first admin key, shown once: erni_" in capsys.readouterr().err
    assert len(build_key_store(load_settings()).list_keys()) == 1
    options["on_starting"](None)
    assert capsys.readouterr().err == ""
