from __future__ import annotations

import itertools
import re
from pathlib import Path

from cli.settings_text import render_environment, render_example_env, render_settings_table
from config.settings import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "config" / "example.env"
README = Path(__file__).parents[2] / "README.md"
ASSIGNMENT = re.compile(r"^# (ERNI_[A-Z_]+)=(.*)$", re.MULTILINE)


def test_file_is_what_the_code_says():
    assert EXAMPLE.read_text() == render_example_env(), "run `erni settings > config/example.env`"


def test_readme_has_the_table_of_all_settings():
    assert render_settings_table() in README.read_text(), "paste the output of `erni settings --table`"


def test_every_setting_is_in_the_file_and_nothing_else():
    variables = [name for name, _ in ASSIGNMENT.findall(EXAMPLE.read_text())]
    assert sorted(variables) == sorted(render_environment(Settings()))


def test_every_setting_says_what_it_is():
    lines = EXAMPLE.read_text().splitlines()
    for line, following in itertools.pairwise(lines):
        if ASSIGNMENT.match(following):
            assert re.match(r"# \S", line), following


def test_file_with_every_line_switched_on_changes_nothing(monkeypatch):
    monkeypatch.setattr("os.environ", {})
    for name, value in ASSIGNMENT.findall(EXAMPLE.read_text()):
        monkeypatch.setenv(name, value)
    assert load_settings() == Settings.model_construct()
