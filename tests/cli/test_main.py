from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from cli.main import main
from erni import __version__


def test_help_lists_every_command_but_the_demo():
    listed = CliRunner().invoke(main, ["--help"]).stdout.partition("Commands:")[2].split()
    for name in ("up", "transcribe", "jobs", "show", "retry", "cancel", "delete", "keys", "init", "doctor"):
        assert name in listed
    assert "demo" not in listed


def test_demo_is_a_command():
    assert CliRunner().invoke(main, ["demo", "--help"]).exit_code == 0


def test_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(main, ["transcibe"])
    assert result.exit_code == 2
    assert "No such command 'transcibe'" in result.stderr


def test_version_is_told():
    assert CliRunner().invoke(main, ["--version"]).stdout == f"erni, version {__version__}\n"


def test_talking_to_a_server_loads_neither_database_nor_models():
    code = "import sys, cli.main, cli.job_commands; print([m for m in sys.modules if m in sys.argv[1:]])"
    heavy = ["sqlalchemy", "celery", "faster_whisper", "torch", "numpy"]
    answer = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
